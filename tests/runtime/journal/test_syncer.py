"""The journal's rows reach `tasks` once, whatever happens between read and mark; a refused row is alone."""

import contextlib
import random
import sqlite3
import threading
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from emulator.servers.postgres import Postgres
from runtime.health import HealthServer
from runtime.journal import drain, results
from runtime.journal.drain import Syncer
from runtime.journal.journal import Journal
from runtime.journal.reader import Backlog, Batch
from runtime.journal.states import Ended, Start
from runtime.journal.syncer import Loop
from shared import clock, supervision
from shared.ids import new_id
from tests import web
from tests.runtime.owner import eventually


@pytest.fixture
def dsn(postgres: Postgres) -> str:
    return postgres.dsn("worker_role", search_path="tasks")


@pytest.fixture
def tasks_db(dsn: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(dsn, autocommit=True) as conn:
        for table in ("task_results", "task_history", "quarantine"):
            conn.execute(f"DELETE FROM {table}")
        yield conn


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = Journal(tmp_path / "worker.db")
    yield made
    made.close()


@pytest.fixture
def syncer(journal: Journal, dsn: str) -> Iterator[Syncer]:
    made = Syncer("storage", journal.path, dsn)
    yield made
    made.close()


def start(task_id: str | None = None, **fields: Any) -> Start:
    return Start(
        task_id=task_id or str(new_id()),
        name="process_photo",
        run_id=str(new_id()),
        queued_at=clock.now().isoformat(),
        **fields,
    )


def ended(begun: Start, status: Any = "success", record: str | None = '{"a": 1}', **fields: Any) -> Ended:
    return Ended(
        begun.task_id, begun.run_id, status, clock.now().isoformat(), "hash-of-" + begun.run_id, record, **fields
    )


def run(journal: Journal, begun: Start, status: Any = "success", **fields: Any) -> None:
    journal.begin([begun]).result()
    started_at = clock.now().isoformat()
    journal.end(ended(begun, status, **fields), begun, started_at).result()


def rows(conn: psycopg.Connection[Any], query: str) -> list[Any]:
    return conn.execute(query).fetchall()


def test_a_finished_task_stands_in_results_and_history(
    journal: Journal, syncer: Syncer, tasks_db: psycopg.Connection[Any]
) -> None:
    begun = start()
    run(journal, begun, payload='{"text": "private words"}')
    done = syncer.cycle()
    assert (done.synced, done.quarantined, done.changed) == (1, 0, 0)
    assert rows(tasks_db, "SELECT task_id, task_name, worker_name, status, result, error FROM task_results") == [
        (begun.task_id, "process_photo", "storage", "success", {"a": 1}, None)
    ]
    events = rows(tasks_db, "SELECT event_type, event_data FROM task_history ORDER BY timestamp")
    assert [event for event, _ in events] == ["queued", "started", "completed"]
    assert events[-1][1] == {"run_id": begun.run_id, "status": "success", "result_hash": "hash-of-" + begun.run_id}
    assert "private" not in str(
        rows(tasks_db, "SELECT t::text FROM task_results t UNION ALL SELECT h::text FROM task_history h")
    )
    assert syncer.cycle().synced == 0


def test_a_pending_task_is_seen_and_then_its_end(
    journal: Journal, syncer: Syncer, tasks_db: psycopg.Connection[Any]
) -> None:
    begun = start()
    journal.begin([begun]).result()
    syncer.cycle()
    assert rows(tasks_db, "SELECT status, completed_at FROM task_results") == [("pending", None)]
    journal.end(ended(begun, "failure", None, error="no-image: x"), begun, clock.now().isoformat()).result()
    syncer.cycle()
    assert rows(tasks_db, "SELECT status, error FROM task_results") == [("failure", "no-image: x")]
    assert len(rows(tasks_db, "SELECT 1 FROM task_history")) == 3


def test_an_update_between_read_and_mark_is_not_lost(
    journal: Journal, syncer: Syncer, tasks_db: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = start()
    journal.begin([begun]).result()

    def update(point: str) -> None:
        if point == "committed":
            journal.end(ended(begun), begun, clock.now().isoformat()).result()
            syncer.reach = lambda point: None

    syncer.reach = update
    assert syncer.cycle().changed == 1
    assert syncer.cycle().synced == 1
    assert rows(tasks_db, "SELECT status FROM task_results") == [("success",)]


def test_every_run_of_a_task_stands_in_the_history(
    journal: Journal, syncer: Syncer, tasks_db: psycopg.Connection[Any]
) -> None:
    first = start()
    journal.begin([first]).result()
    second = start(first.task_id)
    run(journal, second)
    syncer.cycle()
    started = rows(tasks_db, "SELECT event_data ->> 'run_id' FROM task_history WHERE event_type = 'started'")
    assert {run_id for (run_id,) in started} == {first.run_id, second.run_id}
    assert rows(tasks_db, "SELECT run_id::text, runs FROM task_results") == [(second.run_id, 2)]


def test_states_only_rise_whatever_the_order(dsn: str, tasks_db: psycopg.Connection[Any], tmp_path: Path) -> None:
    # One id in two journals, as when a worker's volume was lost and another did the task again.
    task_id = str(new_id())
    states: list[Any] = ["failure", "success", None]
    journals_ = [Journal(tmp_path / f"{n}.db") for n in range(3)]
    for journal, status in zip(journals_, states, strict=True):
        begun = start(task_id)
        journal.begin([begun]).result()
        if status:
            journal.end(ended(begun, status), begun, clock.now().isoformat()).result()
    syncs = [Syncer("storage", journal.path, dsn) for journal in journals_]
    random.Random(4).shuffle(syncs)
    for one in syncs:
        one.cycle()
    assert rows(tasks_db, "SELECT status FROM task_results") == [("success",)]
    for part in (*syncs, *journals_):
        part.close()


POISON = {
    "U+0000": {"result": '{"a": "\\u0000"}'},
    "NaN": {"result": '{"a": NaN}'},
    "a lone surrogate": {"result": '{"a": "\\ud800"}'},
    "no JSON": {"result": "{"},
    "a NUL byte": {"error": "a\x00b"},
    "invalid UTF-8": {"error": b"\xff\xfe"},
    "a long task id": {"task_id": "x" * 256},
    "a long task name": {"task_name": "x" * 101},
    "an unknown status": {"status": "done"},
    "an id that is none": {"id": "seven"},
    "a time that is none": {"started_at": "yesterday evening"},
    "an endless number": {"result": '{"a": 1e1000000}'},
    "too deep": {"result": "[" * 100_000 + "]" * 100_000},
}


@pytest.mark.parametrize("kind", POISON)
@pytest.mark.parametrize("place", [0, 50, 99])
def test_a_poison_row_is_quarantined_alone_and_the_other_99_land_in_the_same_cycle(
    kind: str, place: int, journal: Journal, syncer: Syncer, tasks_db: psycopg.Connection[Any]
) -> None:
    begun = [start() for _ in range(100)]
    journal.begin(begun).result()
    for column, value in POISON[kind].items():
        text = value if isinstance(value, str) else value.decode("latin-1")
        cast = "?" if isinstance(value, str) else "CAST(? AS TEXT)"
        journal.submit(
            lambda db, column=column, cast=cast, value=value, text=text: db.execute(
                f"UPDATE local_tasks SET {column} = {cast} WHERE task_id = ?",
                [value if isinstance(value, bytes) else text, begun[place].task_id],
            )
        ).result()
    done = syncer.cycle()
    assert (done.synced, done.quarantined) == (99, 1)
    assert rows(tasks_db, "SELECT count(*) FROM task_results") == [(99,)]
    ((reason,),) = rows(tasks_db, "SELECT reason FROM quarantine")
    assert reason
    assert syncer.backlog().quarantined == 1
    again = syncer.cycle()
    assert (again.synced, again.quarantined) == (0, 0)


@pytest.mark.parametrize("column", ["revision", "changed_at"])
def test_a_row_whose_own_numbers_and_times_are_none_stops_neither_the_count_nor_the_cycle(
    column: str, journal: Journal, syncer: Syncer, tasks_db: psycopg.Connection[Any]
) -> None:
    begun = [start() for _ in range(10)]
    journal.begin(begun).result()
    sql = f"UPDATE local_tasks SET {column} = '0000-none' WHERE task_id = ?"
    journal.submit(lambda db: db.execute(sql, [begun[3].task_id])).result()
    loop = Loop(syncer, period=300)
    loop._look()
    loop._cycle()
    assert syncer.trouble == ""
    refused = [begun[3].task_id] if column == "revision" else []
    assert [task for (task,) in rows(tasks_db, "SELECT task_id FROM quarantine")] == refused
    assert rows(tasks_db, "SELECT count(*) FROM task_results") == [(10 - len(refused),)]


def test_characters_that_the_syncer_itself_puts_between_values_are_no_reason_to_refuse_a_row(
    journal: Journal, syncer: Syncer, tasks_db: psycopg.Connection[Any]
) -> None:
    begun = [start() for _ in range(3)]
    run(journal, begun[0])
    run(journal, begun[1], status="failure", error='odd-name: a"\x1fb\\ is no image')
    run(journal, begun[2])
    done = syncer.cycle()
    assert (done.synced, done.quarantined) == (3, 0)
    assert rows(tasks_db, "SELECT error FROM task_results WHERE error IS NOT NULL") == [
        ('odd-name: a"\x1fb\\ is no image',)
    ]


@pytest.mark.parametrize(
    ("column", "value"),
    [("event_data", '{"error": "\\u0000"}'), ("task_id", "x" * 256), ("event_type", b"\xff"), ("timestamp", "soon")],
)
def test_a_refused_event_is_quarantined_alone_and_can_be_released(
    column: str, value: Any, journal: Journal, syncer: Syncer, tasks_db: psycopg.Connection[Any]
) -> None:
    first = [start() for _ in range(20)]
    journal.begin(first).result()
    journal.begin([start(begun.task_id) for begun in first]).result()
    cast = "CAST(? AS TEXT)" if isinstance(value, bytes) else "?"
    sql = f"UPDATE local_events SET {column} = {cast} WHERE task_id = ?"
    journal.submit(lambda db: db.execute(sql, [value, first[9].task_id])).result()
    done = syncer.cycle()
    assert (done.events, done.quarantined) == (19, 1)
    assert syncer.backlog().quarantined == 1
    assert rows(tasks_db, "SELECT count(*) FROM quarantine WHERE released_at IS NULL") == [(1,)]
    again = syncer.cycle()
    assert (again.events, again.quarantined) == (0, 0)


def test_a_row_that_a_later_run_mended_leaves_the_quarantine(
    journal: Journal, syncer: Syncer, tasks_db: psycopg.Connection[Any]
) -> None:
    begun = start()
    journal.begin([begun]).result()
    journal.submit(lambda db: db.execute("UPDATE local_tasks SET error = ?", ["a\x00b"])).result()
    assert syncer.cycle().quarantined == 1
    journal.end(ended(begun), begun, clock.now().isoformat()).result()
    assert syncer.cycle().synced == 1
    syncer.retain()
    assert rows(tasks_db, "SELECT released_at IS NULL FROM quarantine") == [(False,)]


def test_large_results_make_small_batches(
    journal: Journal, syncer: Syncer, tasks_db: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain, "BATCH_BYTES", 100_000)
    for size in (10, 60_000, 60_000, 10, 300_000, 10, 10):
        run(journal, start(), record='{"a": "' + "x" * size + '"}')
    batches = noted(syncer, monkeypatch)
    assert syncer.cycle().synced == 7
    assert all(len(batch.rows) < 120_000 for batch in batches if len(batch.revisions) > 1)
    assert [len(batch.revisions) for batch in batches if len(batch.rows) > 300_000] == [1]


def noted(syncer: Syncer, monkeypatch: pytest.MonkeyPatch) -> list[Batch]:
    """The batches that it sends from now on."""
    batches: list[Batch] = []
    put = syncer._records.put

    def note(batch: Batch) -> int:
        batches.append(batch)
        return put(batch)

    monkeypatch.setattr(syncer._records, "put", note)
    return batches


def test_while_the_worker_may_be_writing_batches_are_small_ones(
    journal: Journal, syncer: Syncer, tasks_db: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain, "BESIDE", 2)
    for _ in range(5):
        run(journal, start())
    batches = noted(syncer, monkeypatch)
    assert syncer.cycle().synced == 5
    assert len(batches[0].revisions) == 2


def test_a_clock_set_back_by_a_day_does_not_stop_the_cycles(
    journal: Journal, syncer: Syncer, tasks_db: psycopg.Connection[Any], tmp_path: Path
) -> None:
    file = str(tmp_path / "clock")
    clock.write_offset(file, 0.0)
    clock.use_file(file)
    loop = Loop(syncer, period=0.3)
    thread = threading.Thread(target=loop.run)
    thread.start()
    try:
        eventually(lambda: syncer.cycles > 0)
        clock.write_offset(file, -86_400.0)
        before = syncer.cycles
        eventually(lambda: syncer.cycles > before + 1)
    finally:
        loop.told.set()
        thread.join()
        clock.use_file(None)


def test_a_cycle_that_hangs_is_seen_from_outside(journal: Journal, syncer: Syncer) -> None:
    run(journal, start())
    loop = Loop(syncer, period=30)
    loop._look()
    assert loop.health()["ready"]
    loop._looked -= 100
    health = loop.health()
    assert not health["ready"]
    assert "a cycle has been under way" in health["reasons"][-1]
    assert health["oldest_seconds"] >= 100


def test_a_file_set_aside_beside_a_running_syncer_is_left_and_its_marks_with_it(
    journal: Journal, syncer: Syncer, tasks_db: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = [start() for _ in range(5)], [start() for _ in range(5)]
    for begun in old:
        run(journal, begun)

    def damage(point: str) -> None:
        if point == "committed":
            syncer.reach = lambda point: None
            journal._file.begin_anew("a test")
            for begun in new:
                run(journal, begun)

    # After the old file's rows are in PostgreSQL, and before their numbers are marked.
    syncer.reach = damage
    assert syncer.cycle().synced == 0
    assert syncer.cycle().synced == 5
    assert {task for (task,) in rows(tasks_db, "SELECT task_id FROM task_results")} == {b.task_id for b in old + new}
    journal.close()
    with sqlite3.connect(journal.path) as db:
        assert db.execute("SELECT count(*) FROM local_tasks WHERE synced_to_pg = 1").fetchone() == (5,)
    db.close()


def test_marks_are_written_by_the_worker_while_it_runs_and_by_the_syncer_where_none_does(
    journal: Journal, syncer: Syncer, tasks_db: psycopg.Connection[Any]
) -> None:
    run(journal, start())
    commits = journal.commits
    assert syncer.cycle().synced == 1
    assert syncer._marks.by_worker
    assert journal.commits == commits + 1
    run(journal, start())
    journal.close()
    assert syncer.cycle().synced == 1
    assert not syncer._marks.by_worker


def test_what_never_ended_is_forgotten_in_time(
    journal: Journal, syncer: Syncer, tasks_db: psycopg.Connection[Any]
) -> None:
    gone, under_way = start(), start()
    journal.begin([gone, under_way]).result()
    syncer.cycle()
    old = clock.now() - timedelta(days=91)
    tasks_db.execute("UPDATE task_results SET started_at = %s WHERE task_id = %s", [old, gone.task_id])
    sql = "UPDATE local_tasks SET changed_at = ? WHERE task_id = ?"
    journal.submit(lambda db: db.execute(sql, [old.isoformat(), gone.task_id])).result()
    assert syncer.retain()
    assert rows(tasks_db, "SELECT task_id FROM task_results") == [(under_way.task_id,)]
    with sqlite3.connect(journal.path) as db:
        assert db.execute("SELECT task_id FROM local_tasks").fetchall() == [(under_way.task_id,)]
    db.close()


def test_two_journals_with_the_same_row_id_do_not_hide_each_other(
    journal: Journal, syncer: Syncer, tasks_db: psycopg.Connection[Any]
) -> None:
    first, second = start(), start()
    run(journal, first)
    syncer.cycle()
    run(journal, second)
    journal.submit(lambda db: db.execute("DELETE FROM local_tasks WHERE task_id = ?", [first.task_id])).result()
    journal.submit(lambda db: db.execute("UPDATE local_tasks SET id = ?", [first.run_id])).result()
    assert syncer.cycle().quarantined == 1
    assert "23505" in rows(tasks_db, "SELECT reason FROM quarantine")[0][0]


def test_rows_that_can_not_be_dropped_any_more_are_left_to_the_next_cycle(
    journal: Journal, syncer: Syncer, tasks_db: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(journal, start())
    syncer.cycle()
    asked: list[str] = []

    def drop(table: str, rowids: list[int]) -> int:
        """As of a file that lies there no more: another one has other rows under these numbers."""
        asked.append(table)
        assert len(asked) < 3, "it would go on for ever"
        return 0

    monkeypatch.setattr(syncer._marks, "drop", drop)
    monkeypatch.setattr(drain, "KEPT", -timedelta(days=1))
    assert syncer.cycle().pruned == 0
    assert asked == ["local_tasks"]


def test_synced_rows_and_events_are_pruned_after_a_week_and_unsynced_ones_never(
    journal: Journal, syncer: Syncer, tasks_db: psycopg.Connection[Any]
) -> None:
    for _ in range(3):
        run(journal, start())
    again = start()
    journal.begin([again]).result()
    run(journal, start(again.task_id))  # whose first run leaves an event
    old = (clock.now() - timedelta(days=8)).isoformat()
    journal.submit(lambda db: db.execute("UPDATE local_tasks SET completed_at = ?", [old])).result()
    journal.submit(lambda db: db.execute("UPDATE local_events SET timestamp = ?", [old])).result()
    assert syncer.cycle().pruned == 5
    run(journal, start())
    journal.submit(lambda db: db.execute("UPDATE local_tasks SET completed_at = ?", [old])).result()
    with sqlite3.connect(journal.path) as db:
        assert db.execute("SELECT count(*) FROM local_tasks").fetchone() == (1,)
    db.close()


def test_postgresql_away_costs_nothing_but_time_and_raises_the_alarm(journal: Journal) -> None:
    run(journal, start())
    syncer = Syncer("storage", journal.path, "postgresql://nobody@127.0.0.1:1/ecoeco?connect_timeout=1")
    loop = Loop(syncer, period=0.001)
    loop._cycle()
    assert "last cycle failed" in loop.reasons[0]
    assert not loop.health()["ready"]
    assert syncer.backlog().rows == 1
    syncer.close()


def test_a_damaged_journal_is_set_aside_and_said(tmp_path: Path) -> None:
    path = tmp_path / "worker.db"
    journal = Journal(path)
    run(journal, start())
    journal.close()
    content = bytearray(path.read_bytes())
    content[5000:9000] = b"\xff" * 4000
    path.write_bytes(content)
    again = Journal(path)
    assert "damaged" in again.recovered[0]
    run(again, start())
    again.close()
    assert len(list(tmp_path.glob("worker.db.damaged-*"))) >= 1


def test_history_event_ids_are_the_same_in_both_places(tasks_db: psycopg.Connection[Any]) -> None:
    run_id = str(new_id())
    assert rows(tasks_db, f"SELECT md5('{run_id}' || ':started')::uuid::text") == [
        (results.event_id(run_id, "started"),)
    ]


def test_tasks_are_kept_as_long_as_the_setting_says(
    journal: Journal, syncer: Syncer, tasks_db: psycopg.Connection[Any]
) -> None:
    old, new = start(), start()
    run(journal, old)
    run(journal, new)
    syncer.cycle()
    past = clock.now() - timedelta(days=91)
    tasks_db.execute("UPDATE task_results SET completed_at = %s WHERE task_id = %s", [past, old.task_id])
    tasks_db.execute("UPDATE task_history SET timestamp = %s WHERE task_id = %s", [past, old.task_id])
    assert syncer.retain()
    assert rows(tasks_db, "SELECT task_id FROM task_results") == [(new.task_id,)]
    assert rows(tasks_db, "SELECT DISTINCT task_id FROM task_history") == [(new.task_id,)]


def test_each_table_of_tasks_can_be_kept_for_a_time_of_its_own_and_what_is_much_goes_in_bites(
    syncer: Syncer, tasks_db: psycopg.Connection[Any], postgres: Postgres
) -> None:
    past = clock.now() - timedelta(days=20)
    tasks_db.execute(
        """
        INSERT INTO task_history (id, task_id, event_type, timestamp)
        SELECT gen_random_uuid(), 'old', 'started', %s FROM generate_series(1, 5000)
        """,
        [past],
    )
    tasks_db.execute(
        """
        INSERT INTO task_results (id, task_id, task_name, worker_name, status, started_at, completed_at)
        VALUES (gen_random_uuid(), 'old', 'act', 'storage', 'success', %(past)s, %(past)s)
        """,
        {"past": past},
    )
    assert syncer.retain()
    assert rows(tasks_db, "SELECT count(*) FROM task_history WHERE task_id = 'old'") == [(5000,)]
    with psycopg.connect(postgres.dsn("migrator"), autocommit=True) as settings:
        settings.execute("INSERT INTO public.settings (key, value) VALUES ('tasks.history_days', '7')")
        try:
            assert not syncer._records.retain(0), "what there is no time for is left"
            assert syncer.retain()
        finally:
            settings.execute("DELETE FROM public.settings WHERE key = 'tasks.history_days'")
    assert rows(tasks_db, "SELECT count(*) FROM task_history WHERE task_id = 'old'") == [(0,)]
    assert rows(tasks_db, "SELECT count(*) FROM task_results WHERE task_id = 'old'") == [(1,)]


def test_a_syncer_that_starts_before_its_worker_waits_for_the_file(tmp_path: Path, dsn: str) -> None:
    syncer = Syncer("storage", tmp_path / "worker.db", dsn)
    for make in (lambda: None, (tmp_path / "worker.db").touch):
        make()
        assert syncer.cycle().synced == 0
        assert syncer.backlog() == Backlog(0, 0.0, 0)
    syncer.close()


def test_a_syncer_older_than_its_worker_says_so_and_touches_nothing(
    journal: Journal, syncer: Syncer, tasks_db: psycopg.Connection[Any]
) -> None:
    run(journal, start())
    journal.submit(lambda db: db.execute("PRAGMA user_version=99").fetchall()).result()
    loop = Loop(syncer, period=300)
    loop._cycle()
    assert "newer version" in loop.reasons[0]
    assert not loop.health()["ready"]
    assert rows(tasks_db, "SELECT count(*) FROM task_results") == [(0,)]


def test_a_value_that_json_can_not_hold_is_quarantined_alone(
    journal: Journal, syncer: Syncer, tasks_db: psycopg.Connection[Any]
) -> None:
    begun = [start() for _ in range(5)]
    journal.begin(begun).result()
    sql = "UPDATE local_tasks SET error = x'00ff' WHERE task_id = ?"
    journal.submit(lambda db: db.execute(sql, [begun[2].task_id])).result()
    done = syncer.cycle()
    assert (done.synced, done.quarantined) == (4, 1)


def test_rows_are_marked_only_when_postgresql_has_them_on_its_disk(
    journal: Journal, syncer: Syncer, tasks_db: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        run(journal, start())
    disk = Disk(syncer, monkeypatch)
    places: list[int] = []
    real_put = syncer._records.put

    def put(batch: Batch) -> int:
        places.append(real_put(batch))
        return places[-1]

    marked: list[int] = []
    monkeypatch.setattr(syncer._records, "put", put)
    syncer.reach = lambda point: marked.append(disk.place) if point == "committed" else None
    assert syncer.cycle().synced == 3
    assert len(places) == len(marked) == 1
    assert places[0] <= marked[0]


class Disk:
    """PostgreSQL's, which writes its log when it is waited for and never by itself: `place` is how far it has."""

    def __init__(self, syncer: Syncer, monkeypatch: pytest.MonkeyPatch) -> None:
        self.place = 0
        monkeypatch.setattr(syncer._records, "flushed", lambda: self.place)
        monkeypatch.setattr(syncer._records, "flush", partial(setattr, self, "place"))


def test_the_loops_of_a_syncers_process_are_its_health_and_its_main_thread(syncer: Syncer) -> None:
    """The first lives again; the second is the process itself, whose end its keeper sees."""
    before = {id(loop) for loop in supervision.loops()}
    running = Loop(syncer, 60.0)
    main = threading.Thread(target=running.run)
    health = HealthServer("127.0.0.1", 0, running.health)
    main.start()
    try:
        (loop,) = [one for one in supervision.loops() if id(one) not in before]
        assert loop.name == "health"
        address = f"http://127.0.0.1:{health.port}/healthz"
        assert web.get(address, timeout=30).status_code == 200
        loop.kill()
        with contextlib.suppress(httpx.HTTPError):  # whoever comes now wakes it, and may be the last one that it hears
            web.get(address, timeout=30)
        eventually(lambda: (loop.ends, loop.state) == (1, "runs"))
        assert web.get(address, timeout=30).json()["loops"][-1]["ends"] == 1
    finally:
        running.told.set()
        main.join()
        health.close()


def away(*_: object) -> int:
    raise psycopg.OperationalError("away")


def test_what_was_put_before_postgresql_went_away_is_put_again_and_only_then_marked(
    journal: Journal, syncer: Syncer, tasks_db: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its log is another one afterwards: a place in it from before says nothing about what is on the disk."""
    run(journal, start())
    with monkeypatch.context() as patched:
        patched.setattr(syncer._records, "flushed", away)
        with pytest.raises(psycopg.OperationalError):
            syncer.cycle()
    tasks_db.execute("DELETE FROM task_results")  # what a crash takes that was not on the disk
    done = syncer.cycle()
    assert (done.synced, done.changed) == (1, 0)
    assert rows(tasks_db, "SELECT status FROM task_results") == [("success",)]


def test_events_are_marked_only_when_postgresql_has_them_on_its_disk(
    journal: Journal, syncer: Syncer, tasks_db: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = start()
    journal.begin([first]).result()
    journal.begin([start(first.task_id)]).result()
    disk = Disk(syncer, monkeypatch)
    places: list[tuple[int, int]] = []
    put_events, mark = syncer._records.put_events, syncer._marks.events

    def put(batch: Batch) -> int:
        places.append((put_events(batch), 0))
        return places[-1][0]

    def marked(rowids: list[int]) -> int:
        places[-1] = (places[-1][0], disk.place)
        return mark(rowids)

    monkeypatch.setattr(syncer._records, "put_events", put)
    monkeypatch.setattr(syncer._marks, "events", marked)
    assert syncer.cycle().events > 0
    assert [placed <= flushed for placed, flushed in places] == [True]


def test_a_cycle_that_fails_leaves_no_statement_under_way(
    tasks_db: psycopg.Connection[Any], dsn: str, tmp_path: Path
) -> None:
    """Two statements at once: what the other one still writes must not come behind the next cycle's back."""
    journal = Journal(tmp_path / "worker.db")
    for _ in range(4):
        run(journal, start())
    journal.close()  # an idle worker: the lanes are used
    syncer = Syncer("storage", journal.path, dsn, batch=1)
    second_began, begun, ended_ = threading.Event(), [], []
    lock = threading.Lock()

    def reach(point: str) -> None:
        with lock:
            begun.append(point)
            number = begun.count("read")
        if point == "read" and number == 2:
            assert second_began.wait(60)
            raise psycopg.OperationalError("away")
        if point == "read" and number == 3:
            second_began.set()
            eventually(lambda: failing.is_set())
            ended_.append(number)

    failing = threading.Event()
    real_finish = syncer._finish

    def finish(*arguments: Any) -> None:
        try:
            real_finish(*arguments)
        except psycopg.OperationalError:
            threading.Timer(0.3, failing.set).start()
            raise

    syncer.reach = reach
    syncer._finish = finish  # type: ignore[method-assign]  # to know when the cycle has met the failure
    with pytest.raises(psycopg.OperationalError):
        syncer.cycle()
    assert ended_ == [3]
    syncer.reach = lambda point: None
    # Whether the first one's mark came before the failure is PostgreSQL's log's affair.
    assert syncer.cycle().synced in (3, 4)
    assert syncer.cycle().synced == 0
    syncer.close()


def test_after_an_error_of_the_journal_s_disk_the_file_is_opened_anew(
    journal: Journal, syncer: Syncer, tasks_db: psycopg.Connection[Any]
) -> None:
    """A connection from before may think wrongly of the file."""
    run(journal, start())

    def fail(point: str) -> None:
        if point == "committed":
            raise sqlite3.OperationalError("disk I/O error")

    syncer.reach = fail
    with pytest.raises(sqlite3.OperationalError):
        syncer.cycle()
    assert syncer._reader._db is None
    syncer.reach = lambda point: None
    assert syncer.cycle().synced == 1


def test_after_postgresql_was_away_no_connection_of_before_is_used_again(
    journal: Journal, syncer: Syncer, tasks_db: psycopg.Connection[Any], postgres: Postgres
) -> None:
    with syncer._records._connection(), syncer._records._connection():
        pass
    with psycopg.connect(postgres.superuser_dsn, autocommit=True) as admin:
        ended_ = admin.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'eco2-syncer-storage'"
        ).rowcount
    assert ended_ >= 2
    run(journal, start())
    with pytest.raises(psycopg.OperationalError):
        syncer.cycle()
    assert syncer.cycle().synced == 1
