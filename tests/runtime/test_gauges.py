"""What is shown at /metrics of queues, outboxes and places is what there is, and moves with it"""

import asyncio
import socket

import psycopg
import pytest

from runtime import telemetry
from runtime.delivery.broker import Broker
from runtime.delivery.consumer import observe
from runtime.delivery.relay import Relay
from runtime.forms import Form, Refused
from runtime.http.hosted import Hosted, read_settings
from runtime.services import find
from runtime.telemetry import Gauges
from shared.ids import new_id
from tests.runtime.delivery.test_broker import message
from tests.runtime.delivery.test_consumer import Taking, hold
from tests.runtime.owner import Owner, Work, call, eventually


@pytest.fixture
def gauges(monkeypatch: pytest.MonkeyPatch) -> Gauges:
    """Those of the test alone: other tests' parts have ended."""
    own = Gauges()
    monkeypatch.setattr(telemetry, "gauges", own)
    return own


def shown(gauges: Gauges) -> dict[str, float]:
    """Each gauge's value; of none there are two."""
    samples = [sample for metric in gauges.collect() for sample in metric.samples]
    found = {sample.name: sample.value for sample in samples}
    assert len(found) == len(samples)
    return found


def test_a_relay_shows_what_waits_and_what_it_has_published(owner: Owner, queue: str, gauges: Gauges) -> None:
    owner.relay.stop()
    owner.enqueue(f"{queue}/act", 1, 2, 3)
    with psycopg.connect(owner.dsn) as conn:
        first = "(SELECT id FROM outbox ORDER BY id LIMIT 1)"
        conn.execute(f"UPDATE outbox SET attempts = 3, created_at = created_at - interval '1 hour' WHERE id = {first}")
    relay = Relay(owner.name, owner.dsn, owner.broker)
    assert set(shown(gauges).values()) == {0.0}
    relay.start()
    try:
        eventually(lambda: shown(gauges)["eco2_outbox_published_total"] == 3)
        eventually(lambda: shown(gauges)["eco2_outbox_depth"] == 3)
    finally:
        relay.stop()
    found = shown(gauges)
    assert found.keys() == {f"eco2_outbox_{name}" for name in ("depth", "age_seconds", "retried", "published_total")}
    assert found["eco2_outbox_retried"] == 1
    assert 3600 <= found["eco2_outbox_age_seconds"] < 7200


def test_a_consumer_shows_what_waits_what_it_has_what_it_did_and_what_it_can_not_read(
    broker_url: str, queue: str, gauges: Gauges
) -> None:
    mine, form = Broker(broker_url), Form(Work)
    mine.publish([message(queue, str(number)) for number in range(3)], late={"2"})
    consumer = Taking(queue, mine, hold)
    observe(consumer, mine, {"act": call(lambda *, number: None, form=form), "on a schedule": call(lambda: None)})
    nothing = {"eco2_tasks_held": 0.0, "eco2_tasks_finished_total": 0.0, "eco2_messages_refused_total": 0.0}
    found = shown_of(gauges, "act")
    assert found == nothing | {"eco2_queue_depth": 3.0, "eco2_message_fields_unknown_total": 0.0}
    consumer.start()
    try:
        eventually(lambda: len(consumer.taken) == 3)
        assert shown_of(gauges, "act")["eco2_tasks_held"] == 3.0
        assert shown_of(gauges, "act")["eco2_queue_depth"] == 0.0
        consumer.done(consumer.taken[0])
        consumer.refuse(consumer.taken[1], new_id(), Refused("it is of another version"))
        eventually(lambda: consumer.finished == 2)
        form.read({"number": 1, "a": 1, "b": 2})
        found = shown_of(gauges, "act")
        assert found["eco2_message_fields_unknown_total"] > 0
        assert (found["eco2_tasks_held"], found["eco2_tasks_finished_total"]) == (1.0, 2.0)
        assert found["eco2_messages_refused_total"] == 1.0
    finally:
        consumer.stop_fetching()
        consumer.finish_all(5)
        mine.close()


def shown_of(gauges: Gauges, function: str) -> dict[str, float]:
    samples = [sample for metric in gauges.collect() for sample in metric.samples]
    return {one.name: one.value for one in samples if one.labels.get("function", function) == function}


def test_of_a_broker_that_is_away_nothing_is_shown(free_port: int, queue: str, gauges: Gauges) -> None:
    away = Broker(f"redis://127.0.0.1:{free_port}")
    observe(Taking(queue, away, hold), away, {})
    assert "eco2_queue_depth" not in shown(gauges)
    assert shown(gauges)["eco2_tasks_held"] == 0.0
    away.close()


async def test_a_host_shows_its_connections_in_use_and_who_waits(environment: dict[str, str], gauges: Gauges) -> None:
    service = find("waste")
    hosted = Hosted(service, read_settings(service, environment), background=False)
    await hosted.start()
    try:
        async with hosted.database.connection():
            waits = {"eco2_pool_waiting": 0.0, "eco2_requests_waiting": 0.0}
            assert shown(gauges) == waits | {"eco2_pool_in_use": 1.0}
        lane = hosted._lanes[0]
        places = [lane.take() for _ in range(lane.places)]
        waiting = [asyncio.ensure_future(lane.wait(who, asyncio.Event().wait)) for who in "ab"]  # type: ignore[arg-type]  # what it returns is of no use
        await asyncio.sleep(0)
        assert shown(gauges)["eco2_requests_waiting"] == 2.0
        for place in places:
            assert place is not None
            place.leave()
        await asyncio.gather(*waiting)
        assert shown(gauges)["eco2_requests_waiting"] == 0.0
        assert shown(gauges)["eco2_pool_in_use"] == 0.0
    finally:
        await hosted.stop()


async def test_a_connection_that_is_still_being_made_is_in_no_ones_use(
    environment: dict[str, str], gauges: Gauges
) -> None:
    service = find("waste")
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and never says a word
        url = f"postgresql://waste:x@127.0.0.1:{silent.getsockname()[1]}/eco"
        hosted = Hosted(service, read_settings(service, environment | {service.database.env: url}), background=False)
        await hosted.start()
        try:
            asking = asyncio.ensure_future(hosted.database.take())
            async with asyncio.timeout(30):
                while shown(gauges)["eco2_pool_waiting"] != 1.0:  # noqa: ASYNC110 - the pool says it to no one
                    await asyncio.sleep(0)
            assert shown(gauges)["eco2_pool_in_use"] == 0.0
            asking.cancel()
            await asyncio.wait({asking})
        finally:
            await hosted.stop()
