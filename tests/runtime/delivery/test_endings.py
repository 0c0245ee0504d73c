"""What becomes of a message: each way in which an API service's function ends, and each in which a worker can't go on"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import dramatiq
import msgspec
import psycopg
import pytest

from runtime.binding import Call
from runtime.delivery import working
from runtime.delivery.background import HostConsumer
from runtime.delivery.broker import Broker, Delivery
from runtime.delivery.consumer import Done
from runtime.delivery.envelope import envelope, outcome_message, task_message
from runtime.delivery.run import Work, run
from runtime.delivery.working import Worker
from runtime.forms import Refused
from runtime.journal.journal import Journal
from runtime.journal.states import Ended, Start
from runtime.journal.writer import JournalClosed
from shared import clock
from shared.db import Database
from shared.ids import new_id
from shared.messages import Outcome
from shared.tasks import Result, Task, TaskFailed
from tests.runtime.owner import accepted, call, eventually

Function = Callable[..., Awaitable[Any]]


def sent(queue: str, function: str = "act", service: str = "owner") -> Delivery:
    """A task's message as a fetch brings it."""
    return Delivery(str(new_id()), queue, task_message(service, accepted(f"{queue}/{function}")))


def answered(queue: str, function: str) -> Delivery:
    """An outcome's message to a function."""
    task = msgspec.structs.replace(envelope(sent("worker").message), reply=f"{queue}/{function}")
    outcome = Outcome(task.id, new_id(), task.subject, "success", clock.now())
    return Delivery(str(new_id()), queue, outcome_message(task, msgspec.to_builtins(outcome)))


def strange(delivery: Delivery) -> Delivery:
    return msgspec.structs.replace(delivery, message=delivery.message.copy(options={"task": None}))


def done(consumer: HostConsumer | Worker) -> list[Done]:
    """What it has said of deliveries until now."""
    found: list[Done] = []
    while not consumer._done.empty():
        found += consumer._done.get() or []
    return found


def outcome(message: dramatiq.Message[Any]) -> Outcome:
    return msgspec.convert(message.kwargs["outcome"], Outcome)


class Host:
    """A host that is not started: what comes is given to it by hand."""

    def __init__(self, queue: str, broker: Broker, loop: asyncio.AbstractEventLoop, database: Database) -> None:
        self.functions: dict[str, Call] = {}
        self.loop, self.queue = loop, queue
        self.consumer = HostConsumer(queue, broker, {}, loop, database)

    def take(self, *deliveries: Delivery, **functions: Function | Call) -> list[Done]:
        """What becomes of them all."""
        self.consumer._functions |= {
            name: one if isinstance(one, Call) else call(one) for name, one in functions.items()
        }
        self.consumer.take(list(deliveries))
        found: list[Done] = []
        eventually(lambda: len(found.extend(done(self.consumer)) or found) >= len(deliveries))  # type: ignore[func-returns-value]  # then there are these
        return found


@pytest.fixture
def host(queue: str, broker_url: str, loop: asyncio.AbstractEventLoop, free_port: int) -> Iterator[Host]:
    broker = Broker(broker_url)
    yield Host(queue, broker, loop, Database(f"postgresql://nobody@127.0.0.1:{free_port}/none", size=1))
    broker.close()


def test_a_task_ends_when_its_function_does_and_a_failure_can_be_stored(host: Host) -> None:
    began = clock.now()

    async def act(*, number: int) -> None:
        await asyncio.sleep(0.02)
        raise TaskFailed("no-image", "It is no\x00 image.")

    [one] = host.take(sent(host.queue), act=act)
    [message] = one.sends
    said = outcome(message)
    assert one.ack
    assert said.error is not None
    assert (said.status, said.error.code, said.error.message) == ("failure", "no-image", "It is no image.")
    assert (said.completed_at - began).total_seconds() >= 0.02


def test_a_function_that_fails_or_takes_too_long_is_tried_three_times_and_then_the_relay_s(host: Host) -> None:
    runs: list[str] = []

    async def fail(*, number: int) -> None:
        runs.append("fail")
        raise ZeroDivisionError

    async def hang(*, number: int) -> None:
        runs.append("hang")
        await asyncio.Future()

    found = host.take(sent(host.queue, "fail"), sent(host.queue, "hang"), fail=fail, hang=call(hang, seconds=0.01))
    assert [(one.ack, one.sends) for one in found] == [(True, ())] * 2
    assert sorted(runs) == ["fail"] * 3 + ["hang"] * 3


def test_no_more_run_at_once_than_connections_are_kept_for(host: Host) -> None:
    at_once: list[int] = []
    inside = 0

    async def act(*, number: int) -> None:
        nonlocal inside
        inside += 1
        at_once.append(inside)
        await asyncio.sleep(0.01)
        inside -= 1

    host.take(*(sent(host.queue) for _ in range(6)), act=act)
    assert max(at_once) == 2


def test_what_is_cut_off_with_its_loop_goes_back(host: Host) -> None:
    begun = threading.Event()

    async def act(*, number: int) -> None:
        begun.set()
        await asyncio.Future()

    def cut_off() -> None:
        assert begun.wait(60)
        for task in asyncio.all_tasks(host.loop):
            if "HostConsumer._handle" in repr(task.get_coro()):
                host.loop.call_soon_threadsafe(task.cancel)

    threading.Thread(target=cut_off).start()
    [one] = host.take(sent(host.queue), act=act)
    assert not one.ack
    closed = asyncio.new_event_loop()
    closed.close()
    host.consumer._loop = closed
    [one] = host.take(sent(host.queue))
    assert not one.ack


def test_a_stranger_s_message_goes_and_what_another_version_knows_goes_back_after_a_while(host: Host) -> None:
    [one] = host.take(strange(sent(host.queue)))
    assert (one.ack, one.sends) == (True, ())
    host.consumer.take([sent(host.queue, "unheard_of")])
    assert done(host.consumer) == [], "not at once: it would go round like a top"
    [(_, _, action)] = host.consumer._later
    action()
    [one] = done(host.consumer)
    assert not one.ack


@pytest.mark.parametrize(
    ("error", "sizes"),
    [(None, [3]), (ZeroDivisionError(), [3, 1, 1, 1]), (psycopg.OperationalError(), [3, 3, 3, 1, 1, 1])],
    ids=["well", "by a bug", "with its database"],
)
def test_outcomes_that_one_call_takes_are_all_acked_and_one_by_one_where_together_they_fail(
    host: Host, error: Exception | None, sizes: list[int]
) -> None:
    seen: list[int] = []

    async def take(*, outcomes: list[Outcome]) -> None:
        seen.append(len(outcomes))
        if error is not None and len(outcomes) > 1:
            raise error

    deliveries = [answered(host.queue, "take") for _ in range(3)]
    found = host.take(*deliveries, take=take)
    assert sorted(one.delivery.id for one in found) == sorted(one.id for one in deliveries)
    assert all(one.ack for one in found)
    assert seen == sizes


def test_a_host_that_stops_waits_for_what_runs(host: Host) -> None:
    began, ended = threading.Event(), []

    async def act(*, number: int) -> None:
        began.set()
        await asyncio.sleep(0.1)
        ended.append(number)

    host.consumer._functions["act"] = call(act)
    host.consumer.start()
    host.consumer.broker.publish([sent(host.queue).message])
    assert began.wait(60)
    host.consumer.stop(10)
    assert ended == [1]
    assert host.consumer.broker.depth(host.queue) == 0, "it was acked and did not go back"


# A worker


@pytest.fixture
def worker(broker_url: str, queue: str, tmp_path: Path) -> Iterator[Worker]:
    """One that is not started."""
    journal, broker = Journal(tmp_path / "worker.db"), Broker(broker_url)
    made = Worker(queue, broker, journal, {"act": call(lambda *, number: None)}, threads=1)
    yield made
    made.limits.close()
    journal.close()
    broker.close()


def work(worker: Worker) -> Work:
    found = worker._receive(sent(worker.queue))
    assert found is not None
    return found


def ended(work: Work) -> Ended:
    return Ended(work.start.task_id, work.start.run_id, "success", clock.now().isoformat(), "hash", "{}")


def test_a_second_copy_of_what_is_in_hand_is_acked_and_the_first_one_s_lease_stays(worker: Worker) -> None:
    first = work(worker)
    second = msgspec.structs.replace(first.delivery, id="another")
    assert worker._receive(second) is None
    assert done(worker) == [Done(second, (), leased=False)]
    assert worker.leased_tasks() == [first.start.task_id]


def gone(worker: Worker, one: Work) -> None:
    worker.journal.close()
    worker._begin([one])


def cut_off(worker: Worker, one: Work) -> None:
    worker._ended(one, ended(one), JournalClosed())


def no_json(worker: Worker, one: Work) -> None:
    worker._send(one, msgspec.structs.replace(ended(one), record="{"))


def no_time(worker: Worker, one: Work) -> None:
    worker._send(one, msgspec.structs.replace(ended(one), completed_at="long ago"))


def stumbling(worker: Worker, one: Work) -> None:
    worker.journal.working = None  # type: ignore[assignment, method-assign]  # whatever it is that can't be done
    worker._work.put(one)
    worker._work.put(None)
    worker._run(0)


def unreadable(worker: Worker, one: Work) -> None:
    worker._forget(one)
    worker.refuse(one.delivery, UUID(one.start.task_id), Refused("a field is missing"))


@pytest.mark.parametrize(
    ("happens", "acked"),
    [(gone, False), (cut_off, False), (no_json, True), (no_time, True), (stumbling, True), (unreadable, True)],
)
def test_what_a_worker_can_not_end_leaves_its_hands_with_its_lease(
    worker: Worker, happens: Callable[[Worker, Work], None], acked: bool
) -> None:
    """Back into the queue where another can go on at once, and else to the relay, which has time."""
    one = work(worker)
    happens(worker, one)
    assert done(worker) == [Done(one.delivery, (), leased=True, ack=acked)]
    assert worker.leased_tasks() == []


def test_what_stumbles_as_it_is_taken_is_in_no_one_s_hands(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    def stumble(works: list[Work]) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr(worker, "_begin", stumble)
    with pytest.raises(ValueError, match="a bug"):
        worker.take([sent(worker.queue)])
    assert worker.leased_tasks() == [], "its copies would be dropped for ever"


def test_what_only_newer_code_knows_goes_back_after_a_while(worker: Worker) -> None:
    assert worker._receive(sent(worker.queue, "unheard_of")) is None
    assert done(worker) == []
    [(_, _, action)] = worker._later
    action()
    [one] = done(worker)
    assert not one.ack


def test_payloads_are_looked_after_now_and_then(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []
    monkeypatch.setattr(worker.journal, "forget_payloads", lambda: looked.append(1))
    worker.chores()
    assert looked == []
    worker._forgot -= working.FORGET + 1
    worker.chores()
    worker.chores()
    assert looked == [1]


def test_what_is_written_last_is_sent_before_a_worker_has_stopped(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal closes first: it writes what waits, and who sends that is there still."""
    holding, go_on, ran = threading.Event(), threading.Event(), threading.Event()
    worker._functions["act"] = call(lambda *, number: Result(record={"number": number}))
    worker.reach = lambda point: ran.set() if point == "done" else None
    worker.start()
    begun = worker.journal._writer.put

    def put(*arguments: Any, durable: bool = False) -> None:
        if durable:  # an end: something else is being written
            worker.journal.submit(lambda db: (holding.set(), go_on.wait(60)))
            assert holding.wait(60)
        begun(*arguments, durable=durable)

    monkeypatch.setattr(worker.journal._writer, "put", put)
    task = sent(worker.queue, service=f"{worker.queue}-owner")
    worker.broker.publish([task.message])
    assert ran.wait(60)
    stopping = threading.Thread(target=worker.stop, args=(20,))
    stopping.start()
    stopping.join(0.1)
    go_on.set()
    stopping.join()
    assert worker.limits._loop.state == "stopped"
    assert worker.broker.depth(f"{worker.queue}-owner") == 1
    assert worker.broker.depth(worker.queue) == 0


def test_a_function_knows_until_when_it_may_run_and_its_failure_can_be_stored(worker: Worker) -> None:
    told: list[Task] = []

    def fail(*, number: int, task: Task) -> None:
        told.append(task)
        raise TaskFailed("no-image", "It is no\x00 image.")

    worker._functions["act"] = call(fail, seconds=20.0)
    before = clock.now()
    one, theirs = work(worker), f"00-{'1' * 32}-{'2' * 16}-01"
    one = msgspec.structs.replace(one, sent=msgspec.structs.replace(one.sent, traceparent=theirs))
    found, began = run(worker.service, one, worker.limits)
    assert (found.status, found.error) == ("failure", "no-image: It is no image.")
    [task] = told
    assert task.traceparent[:35] == theirs[:35] != task.traceparent, "a part of the same trace"
    assert task.deadline == datetime.fromisoformat(began) + timedelta(seconds=20)
    assert before <= datetime.fromisoformat(began) <= datetime.fromisoformat(found.completed_at)


def test_a_start_is_of_the_message_that_it_is_for(worker: Worker) -> None:
    one = work(worker)
    task = envelope(one.delivery.message)
    assert one.start == Start(
        str(task.id), "act", one.start.run_id, task.queued_at, task.retries, traceparent=task.traceparent
    )
