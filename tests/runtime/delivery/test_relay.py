"""The relay publishes what was accepted, again and again, and is the only schedule."""

import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import dramatiq
import psycopg
import pytest

from runtime.delivery import relay as relays
from runtime.delivery.broker import Broker, BrokerFull
from runtime.delivery.relay import Relay
from shared import clock, tasks, wake
from shared.ids import new_id
from shared.messages import Outcome, TaskError
from tests.runtime.owner import Owner, call, eventually, worker


@pytest.fixture(autouse=True)
def seldom_is_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A relay looks ten times as often at what nothing wakes it for, as after a clock was moved."""
    monkeypatch.setattr(relays, "LOOK", 0.2)


def waiting(broker: Broker, queue: str) -> int:
    return broker.depth(queue)


def one(owner: Owner, query: str) -> Any:
    with psycopg.connect(owner.dsn) as conn:
        row = conn.execute(query).fetchone()
        return row and row[0]


def test_a_delayed_task_waits_in_the_outbox_until_it_is_due(owner: Owner, queue: str, later: Any) -> None:
    owner.enqueue(f"{queue}/act", 1, delay=3600)
    owner.enqueue(f"{queue}/act", 2)
    eventually(lambda: waiting(owner.broker, queue) == 1)
    later(3601)
    # The first one, unanswered for so long, comes again too.
    eventually(lambda: waiting(owner.broker, queue) == 3)


def test_a_task_without_an_answer_is_published_again_later_and_later(owner: Owner, queue: str, later: Any) -> None:
    owner.enqueue(f"{queue}/act", 1)
    for attempt, wait in enumerate((631, 1261, 1261, 1261), 1):
        eventually(lambda attempt=attempt: one(owner, "SELECT attempts FROM outbox") == attempt)
        eventually(lambda copies=attempt: waiting(owner.broker, queue) == copies)
        gap = (one(owner, "SELECT due_at FROM outbox") - clock.now()).total_seconds()
        assert 0 < gap < wait
        later(wait)


def test_a_flushed_broker_gets_everything_again(
    owner: Owner, broker_url: str, queue: str, tmp_path: Path, later: Any
) -> None:
    owner.enqueue(f"{queue}/act", *range(50))
    eventually(lambda: waiting(owner.broker, queue) == 50)
    owner.broker.client.flushall()
    later(wake.HANDED.total_seconds())
    done: list[int] = []
    with worker(broker_url, tmp_path, queue, {"act": call(lambda *, number: done.append(number))}):
        eventually(lambda: owner.outbox() == 0)
    assert sorted(done) == list(range(50))


def test_a_parked_function_s_tasks_wait_and_lose_nothing(owner: Owner, queue: str, postgres: Any, later: Any) -> None:
    with psycopg.connect(postgres.dsn("migrator"), autocommit=True) as conn:
        conn.execute(
            "UPDATE public.settings SET value = jsonb_build_array(%s::text) WHERE key = 'functions.disabled'",
            [f"{queue}/act"],
        )
        told: list[list[str]] = []
        owner.relay.on_disabled = told.append
        try:
            owner.relay.look_at_settings()
            # A turn that has begun publishes what it finds: wait for the one that knows.
            eventually(lambda: owner.relay._disabled == [f"{queue}/act"])
            assert told[-1:] == [[f"{queue}/act"]]
            owner.enqueue(f"{queue}/act", 1)
            later(wake.HANDED.total_seconds())
            time.sleep(0.3)
            assert waiting(owner.broker, queue) == 0
            # Whatever the broker loses: consumers must not take it for switched on.
            owner.broker.client.flushall()
            eventually(lambda: owner.broker.disabled() == {f"{queue}/act"})
        finally:
            conn.execute("UPDATE public.settings SET value = '[]' WHERE key = 'functions.disabled'")
        owner.relay.look_at_settings()
        eventually(lambda: waiting(owner.broker, queue) == 1)
        assert told[-2:] == [[f"{queue}/act"], []], "its service is told once, and when it is on again"


def test_what_was_switched_on_again_while_no_relay_ran_goes_out_at_once(
    owner: Owner, queue: str, postgres: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relays, "KNOWN", 0.2)
    owner.enqueue(f"{queue}/act", 1)
    eventually(lambda: waiting(owner.broker, queue) == 1)
    with psycopg.connect(postgres.dsn("migrator"), autocommit=True) as conn:
        setting = "UPDATE public.settings SET value = to_jsonb(%s::text[]) WHERE key = 'functions.disabled'"
        conn.execute(setting, [[f"{queue}/act"]])
        try:
            owner.relay.look_at_settings()
            eventually(lambda: owner.broker.disabled() == {f"{queue}/act"})
            owner.relay.stop()
            # A consumer parks what the broker holds of it.
            [held] = owner.broker.fetch(queue, 5)
            owner.broker.finish(queue, [held.id])
        finally:
            conn.execute(setting, [[]])
    # Another service that starts at the same moment is first to tell everyone.
    owner.broker.say_disabled([])
    again = Relay(owner.name, owner.dsn, owner.broker, {})
    again.start()
    try:
        eventually(lambda: waiting(owner.broker, queue) == 1)
        assert owner.broker.disabled() == owner.broker.known_disabled(owner.name) == frozenset()
    finally:
        again.stop()


def test_a_schedule_runs_once_a_slot_however_many_relays_there_are(owner: Owner, later: Any) -> None:
    runs = []

    async def sweep() -> None:
        runs.append(clock.time() // 3600)

    owner.consumer._functions["sweep"] = call(sweep)
    relays = [Relay(owner.name, owner.dsn, owner.broker, {"sweep": 3600.0}) for _ in range(3)]
    for relay in relays:
        relay.start()
    for slots in range(1, 4):
        eventually(lambda slots=slots: len(runs) == slots and owner.outbox() == 0)
        time.sleep(0.2)
        later(3600)
    for relay in relays:
        relay.stop()
    assert len(runs) == len(set(runs))


def test_a_schedule_that_can_not_run_leaves_one_task_and_not_one_a_slot(owner: Owner, later: Any) -> None:
    owner.consumer.stop_fetching()
    relay = Relay(owner.name, owner.dsn, owner.broker, {"sweep": 60.0})
    relay.start()
    slot = 0
    for _ in range(4):
        eventually(lambda: (one(owner, "SELECT slot FROM schedule_slots") or 0) > slot)  # noqa: B023 - looked at here
        slot = one(owner, "SELECT slot FROM schedule_slots")
        assert owner.outbox() == 1
        later(60)
    relay.stop()


def test_a_schedule_goes_on_after_a_clock_was_wrong_for_a_while(owner: Owner, later: Any) -> None:
    runs = []

    async def sweep() -> None:
        runs.append(clock.time() // 3600)

    owner.consumer._functions["sweep"] = call(sweep)
    relay = Relay(owner.name, owner.dsn, owner.broker, {"sweep": 3600.0})
    relay.start()
    for moved, count in ((0, 1), (86_400, 2), (-86_400, 3), (3600, 4)):
        later(moved)
        eventually(lambda count=count: len(runs) == count and owner.outbox() == 0)
    relay.stop()


def test_what_a_clock_a_day_ahead_put_off_is_published_when_the_clock_is_right_again(
    owner: Owner, queue: str, later: Any
) -> None:
    later(86_400)
    owner.enqueue(f"{queue}/act", 1)
    eventually(lambda: waiting(owner.broker, queue) == 1)
    owner.broker.client.delete(f"dramatiq:{queue}")
    later(-86_400)
    eventually(lambda: waiting(owner.broker, queue) == 1)


def test_what_a_host_with_a_clock_a_day_ahead_accepted_does_not_wait_for_that_day(
    owner: Owner, queue: str, later: Any
) -> None:
    owner.relay.stop()
    later(86_400)
    owner.enqueue(f"{queue}/act", 1)
    owner.enqueue(f"{queue}/act", 2, delay=3600)
    later(-86_400)
    owner.relay = Relay(owner.name, owner.dsn, owner.broker)
    owner.relay.start()
    eventually(lambda: waiting(owner.broker, queue) == 1)
    # What was to wait still does.
    assert one(owner, "SELECT count(*) FROM outbox WHERE due_at > now() + interval '1 hour'") == 1


@pytest.mark.parametrize("message", ["[1]", '"words"', "null"])
def test_a_row_that_no_message_can_be_made_of_holds_up_nobody(owner: Owner, queue: str, message: str) -> None:
    owner.relay.stop()
    (poison,) = owner.enqueue(f"{queue}/act", 0)
    owner.enqueue(f"{queue}/act", *range(20))
    with psycopg.connect(owner.dsn) as conn:
        conn.execute("UPDATE outbox SET message = %s WHERE id = %s", [message, poison])
    owner.relay = Relay(owner.name, owner.dsn, owner.broker)
    owner.relay.start()
    eventually(lambda: waiting(owner.broker, queue) == 20)
    assert one(owner, "SELECT max(attempts) FROM outbox") == 1


def test_a_failure_that_a_wrong_clock_dates_far_back_is_kept_for_an_operator(owner: Owner, queue: str) -> None:
    (id_,) = owner.enqueue(f"{queue}/act", 1)
    long_ago = clock.now() - timedelta(days=30)
    outcome = Outcome(id_, new_id(), new_id(), "failure", long_ago, error=TaskError("no-image", "No image."))

    async def settle() -> None:
        async with owner.database.transaction() as conn:
            await tasks.settle(conn, outcome)

    owner.wait(settle())
    assert one(owner, "SELECT failed_at > now() - interval '1 day' FROM failed_tasks")


def test_old_idempotency_rows_are_deleted_after_a_day(owner: Owner, later: Any) -> None:
    with psycopg.connect(owner.dsn) as conn:
        conn.execute(
            "INSERT INTO idempotency (user_id, scope, key, body_hash, status, headers, created_at)"
            " VALUES (gen_random_uuid(), 'POST /x', 'k', '', 200, '{}', %s)",
            [clock.now()],
        )
    later(23 * 3600)
    owner.relay.look_at_settings()
    assert one(owner, "SELECT count(*) FROM idempotency WHERE scope = 'POST /x'") == 1
    later(2 * 3600)
    owner.relay.wake()
    eventually(lambda: one(owner, "SELECT count(*) FROM idempotency WHERE scope = 'POST /x'") == 0)


def test_a_queue_that_no_one_empties_holds_some_work_and_the_rest_waits_in_the_outbox(
    owner: Owner, queue: str, later: Any
) -> None:
    owner.enqueue(f"{queue}/act", *range(3 * relays.ROOM), delay=60)
    later(3600)
    depth = eventually(lambda: (found := owner.broker.depths([queue])[queue]).late >= relays.ROOM and found)
    assert depth.late < 2 * relays.ROOM
    # What is new passes by, and so does what is for others.
    owner.enqueue(f"{queue}/act", 1)
    owner.enqueue(f"{queue}-2/act", 1)
    eventually(lambda: owner.broker.depths([queue])[queue].waiting == 1 and waiting(owner.broker, f"{queue}-2") == 1)
    # And the next go as soon as there is room.
    taken = len(owner.broker.fetch(queue, relays.ROOM + 1))
    assert taken == relays.ROOM + 1
    eventually(lambda: waiting(owner.broker, queue) >= relays.ROOM)


def test_a_broker_that_is_nearly_full_gets_no_tasks_and_results_have_the_rest(owner: Owner, queue: str) -> None:
    client = owner.broker.client
    used: Any = client.info("memory")
    client.config_set("maxmemory", int(used["used_memory"] / 0.85))
    try:
        eventually(lambda: "BrokerFull" in owner.relay.trouble)
        owner.enqueue(f"{queue}/act", 1)
        eventually(lambda: owner.outbox() == 1)
        assert waiting(owner.broker, queue) == 0
        owner.broker.finish(queue, [], [dramatiq.Message(f"{queue}-results", "act", (), {}, {})])
    finally:
        client.config_set("maxmemory", 0)
    eventually(lambda: waiting(owner.broker, queue) == 1)
    eventually(lambda: owner.relay.trouble == "")


def test_a_broker_that_may_lose_tasks_is_waited_for(owner: Owner, queue: str, cache_url: str) -> None:
    owner.relay.stop()
    broker = Broker(cache_url)
    relay = Relay(owner.name, owner.dsn, broker)
    relay.start()
    try:
        eventually(lambda: "evicts keys" in relay.trouble)
        assert relay._loop is not None
        assert (relay._loop.state, relay._loop.ends) == ("runs", 0), "it is no fault of the relay's"
        owner.enqueue(f"{queue}/act", 1)
        assert broker.depth(queue) == 0
    finally:
        relay.stop()
        broker.close()


def test_what_is_late_and_what_is_new_take_turns(owner: Owner, queue: str, broker_url: str) -> None:
    messages = [dramatiq.Message(queue, "act", (), {"number": n}, {}, str(n)) for n in range(16)]
    owner.broker.publish(messages, late={str(n) for n in range(8)})
    # Turns are counted by who fetches, and the owner's own broker fetches meanwhile.
    broker = Broker(broker_url)
    order = [broker.fetch(queue, 1)[0].message.kwargs["number"] < 8 for _ in range(8)]
    broker.close()
    assert sorted(order) == [False] * 6 + [True] * 2


def test_what_the_broker_did_not_take_is_due_as_before_and_no_attempt_is_spent(
    owner: Owner, broker_url: str, queue: str
) -> None:
    class Full(Broker):
        refused = 0

        def publish(self, messages: Any, **options: Any) -> Any:
            if self.refused < 2:
                self.refused += 1
                raise BrokerFull("the broker is at maxmemory")
            return super().publish(messages, **options)

    owner.relay.stop()
    broker = Full(broker_url)
    relay = Relay(owner.name, owner.dsn, broker, {})
    owner.enqueue(f"{queue}/act", 1, delay=0.001)  # taken from the outbox and not handed over
    relay.start()
    try:
        eventually(lambda: waiting(broker, queue) == 1)
        assert broker.refused == 2
        assert one(owner, "SELECT attempts FROM outbox") == 1
        eventually(lambda: relay.published == 1)
    finally:
        relay.stop()
        broker.close()
