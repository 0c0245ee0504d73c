"""The order of a worker's steps, and what is noted of a run while it lasts and no longer"""

import threading
from pathlib import Path
from uuid import UUID

import msgspec
import pytest

from runtime import memory
from runtime.delivery import working
from runtime.journal.results import hash_result
from runtime.journal.slots import Slots
from runtime.journal.states import Ended, Start
from shared import clock, supervision
from shared.errors import Unavailable
from shared.tasks import Result, Task
from tests.runtime.owner import Owner, call, eventually, worker


def test_a_result_is_journalled_before_it_is_sent_and_sent_before_its_message_is_acked(
    owner: Owner, broker_url: str, queue: str, tmp_path: Path
) -> None:
    points: list[str] = []
    with worker(broker_url, tmp_path, queue, {"double": call(lambda *, number: Result({"number": number * 2}))}) as one:
        one.reach = points.append
        owner.enqueue(f"{queue}/double", 1)
        eventually(lambda: owner.outbox() == 0 and "acked" in points)
    assert points == ["received", "journalled", "working", "done", "ended", "sending", "acked"]


def test_a_thread_notes_what_it_is_at_and_nothing_when_it_is_done(
    owner: Owner, broker_url: str, queue: str, tmp_path: Path
) -> None:
    noted: dict[str, list[str]] = {}
    again = threading.Event()

    def look(*, number: int, task: Task) -> None:
        slots = Slots(tmp_path / f"{queue}.db.running")
        noted[str(task.run_id)] = slots.take()
        slots.close()
        if not again.is_set():
            again.set()
            raise Unavailable("a part that is away")

    with worker(broker_url, tmp_path, queue, {"look": call(look)}, threads=1):
        owner.enqueue(f"{queue}/look", 1)
        eventually(lambda: owner.outbox() == 0)
    assert len(noted) == 2
    assert all(found == [run] for run, found in noted.items())
    slots = Slots(tmp_path / f"{queue}.db.running")
    assert slots.take() == [], "a worker that dies now was at nothing"
    slots.close()


def test_a_task_that_ended_while_it_waited_for_its_next_try_is_answered_and_does_not_run_again(
    owner: Owner, broker_url: str, queue: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(working, "PAUSES", (0.01, 0.01))
    runs: list[UUID] = []

    def end_elsewhere(*, number: int, task: Task) -> None:
        runs.append(task.run_id)
        if len(runs) == 1:
            now = clock.now().isoformat()
            start = Start(str(task.id), "end", str(task.run_id), now)
            done = Ended(start.task_id, start.run_id, "success", now, hash_result("success", None, None, None), "{}")
            one.journal.end(done, start, now).result()
            raise Unavailable("a part that is away")

    with worker(broker_url, tmp_path, queue, {"end": call(end_elsewhere)}) as one:
        [id_] = owner.enqueue(f"{queue}/end", 1)
        eventually(lambda: owner.outbox() == 0)
    assert owner.outcomes[id_].record == {}
    assert len(runs) == 1


def test_a_task_that_was_put_off_runs_when_the_relay_brings_it_again(
    owner: Owner, broker_url: str, queue: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(working, "PAUSES", ())
    runs: list[int] = []

    def away_at_first(*, number: int) -> None:
        runs.append(number)
        if len(runs) == 1:
            raise Unavailable("a part that is away")

    with worker(broker_url, tmp_path, queue, {"try": call(away_at_first)}) as one:
        [id_] = owner.enqueue(f"{queue}/try", 1)
        eventually(lambda: runs and not one.held)
        owner.ask_again(id_)
        eventually(lambda: owner.outbox() == 0)
    assert runs == [1, 1]


def test_a_worker_that_has_nothing_left_to_do_gives_its_memory_back_once(
    owner: Owner, broker_url: str, queue: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[int] = []
    monkeypatch.setattr(memory, "give_back", lambda: given.append(one.finished))
    with worker(broker_url, tmp_path, queue, {"double": call(lambda *, number: Result({"number": number * 2}))}) as one:
        one.chores()
        assert given == [], "nothing was done yet"
        owner.enqueue(f"{queue}/double", 1)
        eventually(lambda: owner.outbox() == 0 and one.finished == 1 and not one.held)
        one.chores()
        one.chores()
        assert given == [1]


def test_what_meets_something_away_while_its_worker_stops_is_left_to_the_relay(
    owner: Owner, broker_url: str, queue: str, tmp_path: Path
) -> None:
    """And is not run again here, after a pause for which no one waits any more."""
    began, stopping, runs = threading.Event(), threading.Event(), []

    def away(*, number: int) -> None:
        runs.append(number)
        began.set()
        assert stopping.wait(60)
        raise Unavailable("a part that is away")

    with worker(broker_url, tmp_path, queue, {"away": call(away)}, threads=1) as one:
        owner.enqueue(f"{queue}/away", 1)
        assert began.wait(60)
        one._stopping.set()
        stopping.set()
        eventually(lambda: one.held == 0)
    assert runs == [1]
    assert (owner.broker.depth(queue), owner.outbox()) == (0, 1)


@pytest.mark.parametrize("tries", [0, 1])
def test_what_a_stopping_worker_finds_in_its_hands_goes_back_and_is_not_begun(
    owner: Owner, broker_url: str, queue: str, tmp_path: Path, tries: int
) -> None:
    runs: list[int] = []
    begun: list[int] = []
    holding = threading.Event()

    def hold(*, number: int) -> None:
        runs.append(number)
        assert holding.wait(60)

    with worker(broker_url, tmp_path, queue, {"hold": call(hold)}, threads=1, prefetch=2) as one:
        owner.enqueue(f"{queue}/hold", 1, 2)
        eventually(lambda: one.held == 2 and runs and not one._work.empty())
        waiting = one._work.get()
        assert waiting is not None
        one._stopping.set()
        journalled = one.journal.begin
        one.journal.begin = lambda starts: (begun.append(len(starts)), journalled(starts))[1]  # type: ignore[method-assign]  # to count
        one._work.put(msgspec.structs.replace(waiting, tries=tries))
        holding.set()
        eventually(lambda: one.held == 0)
        assert one.leased_tasks() == [], "another may have it, and its lease is that one's"
    assert len(runs) == 1
    assert begun == []
    assert owner.broker.depth(queue) == 1
    assert [loop.name for loop in supervision.loops() if loop.name.startswith(queue)] == []
