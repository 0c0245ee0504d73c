"""A worker runs functions, journals them and answers; an API service runs its own on the event loop."""

import time
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
from msgspec import Struct

from runtime import background
from shared import tasks
from shared.db import database
from shared.errors import Unavailable
from shared.messages import Outcome
from shared.tasks import Result, TaskFailed
from tests.runtime.delivery import Owner, call, eventually, worker


class Doubled(Struct):
    number: int


def test_a_task_is_worked_on_and_its_outcome_reaches_the_owner(
    owner: Owner, broker_url: str, queue: str, tmp_path: Path
) -> None:
    def double(*, number: int) -> Result:
        return Result(record=Doubled(number * 2), payload={"text": "한국어"})

    with worker(broker_url, tmp_path, queue, {"double": call(double)}):
        ids = owner.enqueue(f"{queue}/double", 1, 2, 3)
        eventually(lambda: owner.outbox() == 0)
    assert [owner.outcomes[i].record for i in ids] == [{"number": 2}, {"number": 4}, {"number": 6}]
    assert owner.outcomes[ids[0]].payload == {"text": "한국어"}
    assert {o.status for o in owner.outcomes.values()} == {"success"}


def test_a_task_that_nobody_wants_the_outcome_of_just_ends(
    owner: Owner, broker_url: str, queue: str, tmp_path: Path
) -> None:
    done = []
    with worker(broker_url, tmp_path, queue, {"note": call(lambda *, number: done.append(number))}):
        owner.enqueue(f"{queue}/note", 7, reply=False)
        eventually(lambda: owner.outbox() == 0)
    assert done == [7]


def test_a_function_says_why_a_task_failed_and_bugs_are_called_internal(
    owner: Owner, broker_url: str, queue: str, tmp_path: Path
) -> None:
    def refuse(*, number: int) -> Result:
        if number:
            raise TaskFailed("no-image", "The file is no image.")
        raise ZeroDivisionError

    with worker(broker_url, tmp_path, queue, {"refuse": call(refuse)}):
        bug, refused = owner.enqueue(f"{queue}/refuse", 0, 1)
        eventually(lambda: owner.outbox() == 0)
    error = owner.outcomes[refused].error
    assert error is not None
    assert (error.code, error.message) == ("no-image", "The file is no image.")
    error = owner.outcomes[bug].error
    assert error is not None
    assert error.code == "internal"


def test_a_result_that_postgresql_would_refuse_is_a_failure_and_not_a_poison_row(
    owner: Owner, broker_url: str, queue: str, tmp_path: Path
) -> None:
    bad = ["\x00", float("nan"), "\ud800", float("inf"), 1e308 * 10, {"a": ["x\x00y"]}]
    with worker(broker_url, tmp_path, queue, {"bad": call(lambda *, number: Result(record={"value": bad[number]}))}):
        ids = owner.enqueue(f"{queue}/bad", *range(len(bad)))
        eventually(lambda: owner.outbox() == 0)
    assert {owner.outcomes[i].status for i in ids} == {"failure"}


def test_a_function_over_its_time_limit_is_ended(owner: Owner, broker_url: str, queue: str, tmp_path: Path) -> None:
    def slow(*, number: int) -> None:
        while True:
            time.sleep(0.01)

    with worker(broker_url, tmp_path, queue, {"slow": call(slow, seconds=0.2)}):
        (id_,) = owner.enqueue(f"{queue}/slow", 1)
        eventually(lambda: owner.outbox() == 0)
    error = owner.outcomes[id_].error
    assert error is not None
    assert error.code == "time-limit"


def test_a_function_that_meets_something_away_is_run_again(
    owner: Owner, broker_url: str, queue: str, tmp_path: Path
) -> None:
    runs: list[UUID] = []

    def hopeful(*, number: int) -> Result:
        runs.append(tasks.current().run_id)
        if len(runs) < 3:
            raise Unavailable("object store")
        return Result(record={"runs": len(runs)})

    with worker(broker_url, tmp_path, queue, {"hopeful": call(hopeful)}):
        (id_,) = owner.enqueue(f"{queue}/hopeful", 1)
        eventually(lambda: owner.outbox() == 0)
    assert owner.outcomes[id_].record == {"runs": 3}
    assert len(set(runs)) == 3
    assert owner.outcomes[id_].run_id == runs[-1]


def test_a_second_copy_of_a_finished_task_sends_its_result_again_and_does_not_run(
    owner: Owner, broker_url: str, queue: str, tmp_path: Path
) -> None:
    runs = []
    with worker(broker_url, tmp_path, queue, {"once": call(lambda *, number: runs.append(number))}):
        (id_,) = owner.enqueue(f"{queue}/once", 1)
        eventually(lambda: owner.outbox() == 0)
        before = owner.answers
        owner.enqueue(f"{queue}/once", 1, task_id=id_)
        eventually(lambda: owner.answers > before and owner.outbox() == 0)
    assert runs == [1]


def test_a_worker_that_stops_gives_back_what_it_did_not_begin(
    owner: Owner, broker_url: str, queue: str, tmp_path: Path
) -> None:
    def slow(*, number: int) -> None:
        time.sleep(0.3)

    with worker(broker_url, tmp_path, queue, {"slow": call(slow)}, threads=1, prefetch=8) as first:
        owner.enqueue(f"{queue}/slow", *range(8))
        eventually(lambda: first.held == 8)
    assert owner.outbox() > 0
    with worker(broker_url, tmp_path, queue, {"slow": call(slow)}, threads=4, prefetch=8):
        eventually(lambda: owner.outbox() == 0, seconds=10)


def test_an_api_service_runs_its_own_functions_on_its_loop_with_typedarguments_of(owner: Owner) -> None:
    seen = []

    async def own(*, number: int) -> None:
        async with database().connection() as conn:
            await conn.execute("SELECT 1")
        seen.append((number, tasks.current().attempt))

    owner.consumer._calls["own"] = call(own)
    owner.enqueue(f"{owner.name}/own", 5, reply=False)
    eventually(lambda: owner.outbox() == 0)
    assert seen == [(5, 1)]


def test_an_api_function_that_fails_by_a_bug_is_brought_again_by_the_relay(owner: Owner) -> None:
    tries = []

    async def buggy(*, number: int) -> None:
        tries.append(number)
        if len(tries) < 3:
            raise ZeroDivisionError

    owner.consumer._calls["buggy"] = call(buggy)
    owner.enqueue(f"{owner.name}/buggy", 5, reply=False)
    eventually(lambda: owner.outbox() == 0)
    assert len(tries) == 3


def test_an_outcome_says_when_the_run_ended(owner: Owner, broker_url: str, queue: str, tmp_path: Path) -> None:
    with worker(broker_url, tmp_path, queue, {"quick": call(lambda *, number: None)}):
        (id_,) = owner.enqueue(f"{queue}/quick", 1)
        eventually(lambda: owner.outbox() == 0)
    outcome: Outcome = owner.outcomes[id_]
    assert outcome.completed_at.tzinfo is not None
    assert abs((datetime.now(UTC) - outcome.completed_at).total_seconds()) < 60


def test_an_api_function_that_misses_another_part_does_not_hold_up_the_others(
    owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "TRIES", 1)

    async def needy(*, number: int) -> None:
        raise Unavailable("object store")

    done = []

    async def easy(*, number: int) -> None:
        done.append(number)

    owner.consumer._calls |= {"needy": call(needy), "easy": call(easy)}
    owner.enqueue(f"{owner.name}/needy", *range(owner.consumer.prefetch * 2), reply=False)
    owner.enqueue(f"{owner.name}/easy", 1, reply=False)
    eventually(lambda: done == [1])
    assert owner.outbox() == owner.consumer.prefetch * 2
