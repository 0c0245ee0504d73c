"""What a process accepts goes from its transaction to the broker, and the outbox brings whatever is lost on that way."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from runtime.delivery import outbox
from runtime.delivery import relay as relays
from runtime.delivery.background import HostConsumer
from runtime.delivery.broker import Broker, BrokerFull, Depth
from runtime.delivery.outbox import ALLOWANCE
from runtime.delivery.relay import KNOWN, PATIENCE, ROOM, Relay, Room
from shared import clock, wake
from shared.ids import new_id
from shared.tasks import Result, enqueue
from tests.runtime.owner import Owner, call, eventually, sending, worker


def one(owner: Owner, query: str) -> Any:
    with psycopg.connect(owner.dsn) as conn:
        row = conn.execute(query).fetchone()
        assert row is not None
        return row[0]


def state(owner: Owner) -> Any:
    """Of the one task in the outbox: how long after its acceptance it is due, its attempts, and whether a broker is noted."""
    with psycopg.connect(owner.dsn) as conn:
        return conn.execute("SELECT due_at - created_at, attempts, published_to IS NOT NULL FROM outbox").fetchone()


def test_what_is_accepted_here_is_published_without_touching_its_row_and_noted_there_after_a_while(
    owner: Owner, queue: str
) -> None:
    owner.enqueue(f"{queue}/act", 1, time_limit=60)
    eventually(lambda: owner.broker.depth(queue) == 1)
    noted = (timedelta(seconds=60) + ALLOWANCE, 1, True)
    assert state(owner) in ((wake.HANDED, 0, False), noted)  # on a slow machine it is noted by now
    eventually(lambda: state(owner) == noted)
    assert owner.broker.depth(queue) == 1


@contextmanager
def deaf(relay: Relay) -> Iterator[None]:
    """The relay gets what is handed to it and dies before it publishes."""
    relay.stop()
    dead = Relay(relay.service, relay.dsn, relay._broker)
    yield
    dead.stop()


def test_what_a_relay_had_when_it_died_is_the_next_one_s(owner: Owner, queue: str, later: Any) -> None:
    with deaf(owner.relay):
        owner.enqueue(f"{queue}/act", 1)
        assert state(owner) == (wake.HANDED, 0, False)
    owner.relay = Relay(owner.name, owner.dsn, owner.broker)
    owner.relay.start()
    later(wake.HANDED.total_seconds())
    eventually(lambda: owner.broker.depth(queue) == 1)


def test_what_a_flushed_broker_had_before_it_was_noted_comes_again(owner: Owner, queue: str, later: Any) -> None:
    owner.enqueue(f"{queue}/act", 1)
    eventually(lambda: owner.broker.depth(queue) == 1)
    owner.broker.client.flushall()
    later(wake.HANDED.total_seconds())
    # What it takes before it sees that the broker was flushed goes twice.
    eventually(lambda: owner.broker.depth(queue) >= 1)


def test_what_found_no_place_in_time_is_of_this_moment_when_its_relay_looks_again(owner: Owner, queue: str) -> None:
    owner.relay.stop()
    relay = Relay(owner.name, owner.dsn, owner.broker)  # not started: its turns are made here
    owner.enqueue(f"{queue}/act", 1)
    relay._room.note({queue: Depth(ROOM, 0)})
    relay._begun = time.monotonic() + PATIENCE + 1
    relay._receive()
    assert len(relay._waiting) == 1, "it comes to its first turn, however late that is"
    assert not relay._publish_handed()
    relay._receive()
    assert relay._waiting == []
    owner.enqueue(f"{queue}/act", 2)
    relay._begun = time.monotonic() + wake.HANDED.total_seconds() + 1
    relay._receive()
    assert relay._waiting == [], "by then it is due for all relays"
    relay.stop()
    now = clock.now() + wake.HANDED + timedelta(seconds=3)
    with psycopg.connect(owner.dsn) as conn:
        rows = outbox.take(conn, now, "life")
        conn.rollback()
    assert [row.late for row in rows] == [False, False]


def test_the_relay_publishes_what_it_has_before_it_ends(owner: Owner, queue: str) -> None:
    owner.enqueue(f"{queue}/act", *range(5))
    owner.relay.stop()
    # One that this machine was late with is published twice, and done once.
    assert owner.broker.depth(queue) >= 5
    assert one(owner, "SELECT count(*) FROM outbox WHERE attempts > 0") == 5


def test_many_outcomes_that_are_there_together_are_settled_together_and_a_bad_one_alone(
    owner: Owner, broker_url: str, queue: str, tmp_path: Path
) -> None:
    sizes, settled = [], []

    async def take(*, outcomes: list[Any]) -> None:
        sizes.append(len(outcomes))
        if any(outcome.record for outcome in outcomes):
            raise ValueError("one that no one can take")
        settled.extend(outcome.task_id for outcome in outcomes)
        await owner._all_worked(outcomes=outcomes)

    owner.functions["all_worked"] = call(take)
    owner.consumer.stop(5)
    ids = owner.enqueue(f"{queue}/act", *range(20), takes="all_worked")
    (bad,) = owner.enqueue(f"{queue}/bad", 0, takes="all_worked")
    functions = {"act": call(lambda: None), "bad": call(lambda: Result(record={"bad": True}))}
    with worker(broker_url, tmp_path, queue, functions):
        eventually(lambda: owner.broker.depth(owner.name) >= 21)  # a machine that is late sends one again
    owner.consumer = HostConsumer(owner.name, owner.broker, owner.functions, owner.loop, owner.database)
    owner.consumer.start()
    eventually(lambda: owner.outbox() == 1)
    assert set(settled) == set(ids)
    assert max(sizes) > 1
    with psycopg.connect(owner.dsn) as conn:
        assert conn.execute("SELECT id FROM outbox").fetchall() == [(bad,)]


def test_what_units_of_one_moment_accept_is_handed_over_each_once(owner: Owner, queue: str) -> None:
    async def accept() -> None:
        units = [owner.database.unit() for _ in range(5)]
        twice = new_id()
        for number, unit in enumerate(units):
            id_ = twice if number in (1, 3) else None
            await enqueue(unit, sending(f"{queue}/act")(number), subject=new_id(), task_id=id_)
        await asyncio.gather(*(owner.database.commit(unit) for unit in units))

    owner.relay.stop()
    relay = Relay(owner.name, owner.dsn, owner.broker)  # not started: it keeps what it is handed
    owner.wait(accept())
    relay._begun = time.monotonic()
    relay._receive()
    assert len(relay._waiting) == owner.outbox() == 4
    relay.stop()


def alone(owner: Owner) -> Relay:
    """The owner's relay is another one, whose turns the test makes; it has been given the tasks that are accepted from now on."""
    owner.relay.stop()
    relay = Relay(owner.name, owner.dsn, owner.broker)
    relay._turn()
    return relay


def test_what_a_broker_lost_before_it_was_noted_is_not_noted_as_the_next_one_s(owner: Owner, queue: str) -> None:
    relay = alone(owner)
    owner.enqueue(f"{queue}/act", 1)
    relay._turn()
    assert owner.broker.depth(queue) == 1
    owner.broker.client.flushall()
    relay._looked = 0.0
    relay._turn()
    relay._note_published(relay._connect(), 0.0)
    assert state(owner) == (wake.HANDED, 0, False)
    relay.stop()
    relay._disconnect()


def test_what_was_handed_over_and_dropped_as_switched_off_is_due_once_all_know_that_it_is_on_again(
    owner: Owner, queue: str
) -> None:
    """Published, not noted yet, and dropped by a consumer that believed it to be off: but for the note it would wait its time."""
    relay = alone(owner)
    owner.enqueue(f"{queue}/act", 1)
    relay._turn()
    relay._disabled = [f"{queue}/act"]
    before = clock.now()
    relay._follow_settings(relay._connect())
    known = timedelta(seconds=KNOWN)
    assert before + known <= one(owner, "SELECT due_at FROM outbox") <= clock.now() + known
    assert relay._disabled == []
    relay.stop()
    relay._disconnect()


@pytest.mark.parametrize("step", ["publish_enabled", "mend_times", "publish_lost", "insert_scheduled"])
def test_what_was_cut_off_in_the_middle_of_a_turn_is_done_again(
    owner: Owner, queue: str, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Whatever notes that it is done comes after it: a relay that notes first has nothing to do at its next turn."""
    owner.relay.stop()
    owner.broker.know_disabled(owner.name, [f"{queue}/act"])  # by the relay before, and on again since
    relay = Relay(owner.name, owner.dsn, owner.broker, {"sweep": 3600.0})
    done, real = [], getattr(outbox, step)

    def cut_off_at_first(*arguments: Any) -> None:
        done.append(step)
        if len(done) == 1:
            raise psycopg.OperationalError("the database goes away")
        real(*arguments)

    monkeypatch.setattr(outbox, step, cut_off_at_first)
    with pytest.raises(psycopg.OperationalError):
        relay._turn()
    relay._chores = relay._looked = 0.0  # it is time for them again
    relay._turn()
    assert len(done) == 2
    assert owner.broker.known_disabled(owner.name) == frozenset()
    relay.stop()
    relay._disconnect()


def test_what_was_handed_over_and_the_broker_did_not_take_is_published_at_the_next_turn(
    owner: Owner, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relays, "PATIENCE", 60.0)
    relay = alone(owner)
    owner.enqueue(f"{queue}/act", 1)

    def full(*_: Any, **options: Any) -> Any:
        raise BrokerFull("the broker is at maxmemory")

    with monkeypatch.context() as patched:
        patched.setattr(Broker, "publish", full)
        with pytest.raises(BrokerFull):
            relay._turn()
    relay._turn()
    assert owner.broker.depth(queue) == 1
    assert state(owner) == (wake.HANDED, 0, False), "from the relay's hands, and not from the outbox"
    relay.stop()
    relay._disconnect()


def test_of_more_than_a_relay_may_hold_the_oldest_are_left_to_the_outbox(
    owner: Owner, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    relay = alone(owner)
    monkeypatch.setattr(relays, "MOST", 3)
    ids = owner.enqueue(f"{queue}/act", *range(5))
    relay._begun = time.monotonic()
    relay._receive()
    assert [task.id for _, task in relay._waiting] == ids[2:]
    relay.stop()
    relay._disconnect()


@pytest.mark.parametrize(
    ("depth", "takes", "closed", "closed_late"),
    [
        (Depth(ROOM - 1, ROOM - 1), True, [], []),
        (Depth(ROOM, 0), False, ["q"], []),
        (Depth(0, ROOM), True, [], ["q"]),
        (Depth(ROOM, ROOM), False, ["q"], ["q"]),
    ],
    ids=str,
)
def test_a_queue_takes_until_so_many_wait_in_it_and_late_ones_beside_them(
    depth: Depth, takes: bool, closed: list[str], closed_late: list[str]
) -> None:
    room = Room()
    room.note({"q": depth})
    assert (room.takes("q"), room.closed, room.closed_late) == (takes, closed, closed_late)
    assert room.full() == ({"q": (bool(closed), bool(closed_late))} if closed or closed_late else {})
    room.note({"q": Depth(ROOM - 1, ROOM - 1)})
    assert (room.takes("q"), room.full()) == (True, {})


def test_the_chores_are_done_after_the_clock_was_set_back(owner: Owner) -> None:
    relay = alone(owner)
    relay._chores = clock.time() + 86_400
    relay._turn()
    assert relay._chores <= clock.time()
    relay.stop()
    relay._disconnect()


def test_a_schedule_s_task_has_one_id_a_slot_which_no_other_service_or_schedule_has(
    owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = []
    monkeypatch.setattr(outbox, "insert_scheduled", lambda conn, id_, *_: ids.append(id_))
    for service, name in (("waste", "sweep"), ("waste", "sweep"), ("auth", "sweep"), ("waste", "fill")):
        relay = Relay(service, owner.dsn, owner.broker, {name: 1e12})
        relay._insert_due_schedules(None)  # type: ignore[arg-type] # nothing is written
        relay._insert_due_schedules(None)  # type: ignore[arg-type] # once a slot
        relay.stop()
    assert len(ids) == 4
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3


def test_what_is_handed_over_goes_on_at_once_where_a_turn_has_not_published_all_of_it(
    owner: Owner, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    relay = alone(owner)
    monkeypatch.setattr(relays, "STEP_ROWS", 2)
    owner.enqueue(f"{queue}/act", *range(3))
    relay._taken = time.monotonic()  # nothing of the outbox just now
    assert [relay._turn(), relay._turn()] == [True, False]
    assert owner.broker.depth(queue) == 3
    relay.stop()
    relay._disconnect()


def test_a_backlog_goes_on_at_once_where_a_turn_has_not_taken_all_of_it(owner: Owner, queue: str) -> None:
    relay = alone(owner)
    owner.enqueue(f"{queue}/act", *range(250), delay=0.001)
    relay._taken = 0.0
    more = []
    while owner.broker.depth(queue) < 250 and len(more) < 3:
        more.append(relay._turn())
    assert more == [True, True]
    relay.stop()
    relay._disconnect()
