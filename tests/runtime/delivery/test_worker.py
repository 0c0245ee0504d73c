"""A worker runs functions, journals them and answers; an API service runs its own on the event loop."""

import contextlib
import sqlite3
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import dramatiq
import psycopg
import pytest
from msgspec import Struct
from psycopg.types.json import Jsonb

from emulator.servers.postgres import Postgres
from runtime.delivery import background, consumer, relay
from runtime.delivery.broker import Broker
from runtime.delivery.consumer import Consumer
from runtime.delivery.envelope import bulk_actors, bulk_queue
from runtime.delivery.working import Worker
from runtime.journal import server
from runtime.journal.journal import Journal
from shared import supervision
from shared.errors import Unavailable
from shared.ids import new_id
from shared.messages import Outcome
from shared.tasks import Result, Task, TaskFailed
from tests.proxies import ProxyThread
from tests.runtime.owner import Owner, call, eventually, worker


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


def test_a_worker_that_needed_the_broker_only_for_its_results_is_ready_again_once_they_are_sent(
    owner: Owner, broker_url: str, queue: str, tmp_path: Path
) -> None:
    """While it has no room it fetches nothing, so that the fetch neither says that the broker was away nor that it is back."""
    begun, end = threading.Event(), threading.Event()

    def wait(*, number: int) -> None:
        begun.set()
        end.wait(60)

    url = urlsplit(broker_url)
    with ProxyThread() as proxy:
        port = proxy.link("redis", url.port or 0)
        behind = urlunsplit(url._replace(netloc=url.netloc.replace(f":{url.port}", f":{port}")))
        with worker(behind, tmp_path, queue, {"wait": call(wait)}, threads=1, prefetch=1) as one:
            owner.enqueue(f"{queue}/wait", 1)
            eventually(begun.is_set)
            cut = proxy.add("redis", "cut")
            end.set()
            eventually(lambda: one.trouble)
            proxy.clear(cut)
            eventually(lambda: owner.outbox() == 0)
            eventually(lambda: not one.trouble, "it is ready")


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

    def hopeful(*, task: Task) -> Result:
        runs.append(task.run_id)
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


def test_messages_that_no_relay_made_cost_a_worker_neither_a_thread_nor_a_place(
    owner: Owner, broker_url: str, queue: str, tmp_path: Path
) -> None:
    def stranger(id_: str, about: str, **fields: str) -> dramatiq.Message[Any]:
        envelope = {"id": about, "subject": about, "service": owner.name, "queued_at": "2026-01-02T03:04:05+00:00"}
        return dramatiq.Message(queue, "once", (), {"number": 0}, {"task": envelope | fields}, id_)

    ids = [str(new_id()) for _ in range(8)]
    runs: list[int] = []
    with worker(broker_url, tmp_path, queue, {"once": call(lambda *, number: runs.append(number))}) as running:
        # Another id than the task's, one that is none, and text that SQLite can't hold: more of each than it has threads.
        owner.broker.publish([stranger(f"no-uuid-{id_}", id_) for id_ in ids])
        owner.broker.publish([stranger(str(new_id()), id_) for id_ in ids])
        owner.broker.publish([stranger(id_, id_, traceparent="\ud800") for id_ in ids])
        owner.enqueue(f"{queue}/once", 1)
        eventually(lambda: owner.outbox() == 0 and running.held == 0)
    assert runs == [1]


def test_a_row_of_the_journal_that_can_not_be_read_holds_up_nobody(
    owner: Owner, broker_url: str, queue: str, tmp_path: Path
) -> None:
    runs: list[int] = []
    functions = {"once": call(lambda *, number: runs.append(number))}
    with worker(broker_url, tmp_path, queue, functions) as running:
        ids = owner.enqueue(f"{queue}/once", *range(6))
        eventually(lambda: owner.outbox() == 0)
        for id_, column, value in zip(
            ids, ["result", "completed_at", "error"] * 2, ["{", "long ago", b"\xff\xfe"] * 2, strict=True
        ):
            sql = f"UPDATE local_tasks SET {column} = CAST(? AS TEXT) WHERE task_id = ?"
            running.journal.submit(lambda db, sql=sql, values=(value, str(id_)): db.execute(sql, values)).result()
        for id_ in ids:
            owner.enqueue(f"{queue}/once", 0, task_id=id_)
        (good,) = owner.enqueue(f"{queue}/once", 7)
        eventually(lambda: good in owner.outcomes and running.held == 0)
        assert running.journal.trouble == ""
    assert runs.count(7) == 1


def test_a_worker_that_can_not_write_lets_another_have_its_tasks(
    owner: Owner, broker_url: str, queue: str, tmp_path: Path
) -> None:
    def slow(*, number: int) -> None:
        time.sleep(0.5)

    with worker(broker_url, tmp_path, queue, {"slow": call(slow)}) as running:
        (id_,) = owner.enqueue(f"{queue}/slow", 1)
        eventually(lambda: running.leased_tasks() == [str(id_)])
        running.journal._writer.trouble = "the journal can't be written: database or disk is full"
        assert running.leased_tasks() == []
        running.journal._writer.trouble = ""
        eventually(lambda: owner.outbox() == 0)


def test_a_worker_that_stops_gives_back_what_it_did_not_begin(
    owner: Owner, broker_url: str, queue: str, tmp_path: Path
) -> None:
    def slow(*, number: int) -> None:
        time.sleep(0.3)

    with worker(broker_url, tmp_path, queue, {"slow": call(slow)}, threads=1, prefetch=8) as first:
        owner.enqueue(f"{queue}/slow", *range(8))
        eventually(lambda: first.held == 8)
    assert owner.outbox() > 0
    # To another worker, with a journal of its own, and at once: the leases went with the messages.
    with worker(broker_url, tmp_path / "another", queue, {"slow": call(slow)}, threads=4, prefetch=8):
        eventually(lambda: owner.outbox() == 0, seconds=10)


def test_an_api_service_runs_its_own_functions_on_its_loop(owner: Owner) -> None:
    seen = []

    async def own(*, number: int, task: Task) -> None:
        seen.append((number, task.attempt))

    owner.consumer._functions["own"] = call(own)
    owner.enqueue(f"{owner.name}/own", 5, reply=False)
    eventually(lambda: owner.outbox() == 0)
    assert seen == [(5, 1)]


def test_an_api_function_that_fails_by_a_bug_is_brought_again_by_the_relay(owner: Owner) -> None:
    tries = []

    async def buggy(*, number: int) -> None:
        tries.append(number)
        if len(tries) < 3:
            raise ZeroDivisionError

    owner.consumer._functions["buggy"] = call(buggy)
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

    owner.consumer._functions |= {"needy": call(needy), "easy": call(easy)}
    owner.enqueue(f"{owner.name}/needy", *range(owner.consumer.prefetch * 2), reply=False)
    owner.enqueue(f"{owner.name}/easy", 1, reply=False)
    eventually(lambda: done == [1])
    # Its own row goes in the transaction after that.
    eventually(lambda: owner.outbox() == owner.consumer.prefetch * 2, "only those that wait are left")


def test_an_api_function_whose_statement_never_ends_in_time_does_not_hold_up_the_others(
    owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "TRIES", 1)

    async def endless(*, number: int) -> None:
        async with owner.database.connection() as conn:
            await conn.execute("SET statement_timeout = '10ms'")
            try:
                await conn.execute("SELECT pg_sleep(60)")
            finally:
                await conn.execute("RESET statement_timeout")

    done = []

    async def easy(*, number: int) -> None:
        done.append(number)

    owner.consumer._functions |= {"endless": call(endless), "easy": call(easy)}
    owner.enqueue(f"{owner.name}/endless", *range(owner.consumer.prefetch * 2), reply=False)
    owner.enqueue(f"{owner.name}/easy", 1, reply=False)
    eventually(lambda: done == [1])
    # Its own row goes in the transaction after that.
    eventually(lambda: owner.outbox() == owner.consumer.prefetch * 2, "only those that wait are left")


def test_every_loop_of_a_worker_and_a_relay_may_die_and_the_work_goes_on_or_the_process_ends(
    owner: Owner, broker_url: str, queue: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_up: list[str] = []
    monkeypatch.setattr(Consumer, "give_up", staticmethod(lambda name, reason: given_up.append(name)))
    others = {loop.name for loop in supervision.loops() if loop is not owner.relay._loop}
    going = threading.Event()
    going.set()

    def act(*, number: int) -> Result:
        assert going.wait(60)
        return Result(record={"number": number})

    functions = {"act": call(act)}
    with worker(broker_url, tmp_path, queue, functions, threads=2) as running:
        mine = {loop.name: loop for loop in supervision.loops() if loop.name not in others}
        held = {f"{queue}-finish", f"{queue}-0", f"{queue}-1", "journal"}
        assert mine.keys() == held | {
            f"{queue}-fetch",
            f"{queue}-keep",
            "journal-server",
            "limits",
            f"relay-{owner.name}",
        }
        # What has something of a task in its hands takes the process along, and everything else starts again.
        assert {name for name, loop in mine.items() if not loop._rules.again} == held
        for loop in (loop for name, loop in mine.items() if name not in held):
            loop.kill()
            # Whatever it waits for comes now.
            client = server.Client(running.journal.path)
            with contextlib.suppress(sqlite3.OperationalError):
                client.ask("drop", "another file", "local_tasks", [])
            client.close()
            running._nudge.set()
            owner.relay.wake()
            ids = owner.enqueue(f"{queue}/act", 1, 2)
            eventually(lambda ids=ids: owner.outcomes.keys() >= set(ids))
            eventually(lambda loop=loop: (loop.ends, loop.state) == (1, "runs"))
        going.clear()  # else the other thread may be so quick that this one never has to wake
        mine[f"{queue}-0"].kill()
        owner.enqueue(f"{queue}/act", *range(8))
        eventually(lambda: given_up == [f"{queue}-0"])
        going.set()


def test_what_the_broker_holds_of_a_function_that_is_switched_off_waits_until_it_is_on_again(
    owner: Owner, broker_url: str, queue: str, tmp_path: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "BEAT", 0.2)
    monkeypatch.setattr(relay, "KNOWN", 0.5)
    ran: list[int] = []
    functions = {"act": call(lambda *, number: ran.append(number)), "other": call(lambda *, number: None)}
    (first,) = owner.enqueue(f"{queue}/act", 1)
    eventually(lambda: owner.broker.depth(queue) == 1)
    with psycopg.connect(postgres.dsn("migrator"), autocommit=True) as conn:
        setting = "UPDATE public.settings SET value = %s WHERE key = 'functions.disabled'"
        conn.execute(setting, [Jsonb([f"{queue}/act"])])
        try:
            owner.relay.look_at_settings()
            eventually(lambda: owner.broker.disabled() == {f"{queue}/act"})
            with worker(broker_url, tmp_path, queue, functions) as running:
                (second,) = owner.enqueue(f"{queue}/other", 2)
                eventually(lambda: second in owner.outcomes and running.held == 0)
                assert (ran, owner.broker.depth(queue), owner.outbox()) == ([], 0, 1)
                conn.execute(setting, [Jsonb([])])
                owner.relay.look_at_settings()
                eventually(lambda: first in owner.outcomes)
                assert ran == [1]
        finally:
            conn.execute(setting, [Jsonb([])])
            owner.relay.look_at_settings()
            eventually(lambda: owner.broker.disabled() == frozenset())


def test_bulk_work_waits_in_a_queue_of_its_own_and_holds_up_no_one(
    owner: Owner, broker_url: str, queue: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner.relay, "_bulk", frozenset({f"{queue}/delete"}))
    over = threading.Event()
    functions = {"delete": call(lambda *, number: over.wait(30)), "act": call(lambda *, number: None)}
    journal = Journal(tmp_path / "worker.db")
    broker = Broker(broker_url, consumer=journal.worker_id)
    works = Worker(queue, broker, journal, functions, threads=1)
    bulk = Worker(queue, broker, journal, functions, threads=1, queue_name=bulk_queue(queue), first_slot=1)
    works.start()
    bulk.start()
    try:
        deletions = owner.enqueue(f"{queue}/delete", *range(20))
        eventually(lambda: bulk.held > 0)
        acts = owner.enqueue(f"{queue}/act", *range(20))
        eventually(lambda: owner.outcomes.keys() >= set(acts))
        assert not owner.outcomes.keys() & set(deletions)
        over.set()
        eventually(lambda: owner.outbox() == 0)
    finally:
        over.set()
        works.stop(10, bulk)
        broker.close()


def test_deleting_objects_is_bulk_work_and_the_storage_worker_has_a_thread_for_it() -> None:
    assert "storage/delete_objects" in bulk_actors()
