"""What the syncer's statements read of a journal and make of the rows of `tasks`: every column, just inside and just outside"""

import itertools
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import psycopg
import pytest
from psycopg.rows import dict_row

from emulator.servers.postgres import Postgres
from runtime.journal import reader as readers
from runtime.journal import schema
from runtime.journal.file import Lock
from runtime.journal.reader import Backlog, Batch, Names, Reader
from runtime.journal.records import Records
from runtime.journal.results import event_id
from shared import clock

Row = dict[str, Any]
Connection = psycopg.Connection[Any]

RANKS = {"pending": 0, "failure": 1, "success": 2}
RUN, AGAIN = str(UUID(int=1)), str(UUID(int=2))
SENT: Row = {
    "id": str(UUID(int=9)),
    "task_id": "task",
    "task_name": "act",
    "status": "failure",
    "result": '{"a": 1}',
    "error": "code: why",
    "started_at": "2026-01-02T03:04:05+00:00",
    "completed_at": "2026-01-02T03:04:06+00:00",
    "run_id": RUN,
    "runs": 3,
    "revision": 4,
    "result_hash": "hash",
    "traceparent": "trace",
    "queued_at": "2026-01-02T03:04:04+00:00",
}
LATER: Row = {
    "task_name": "another",
    "status": "success",
    "result": '{"a": 2}',
    "error": None,
    "started_at": "2026-01-02T03:05:05+00:00",
    "completed_at": "2026-01-02T03:05:06+00:00",
    "run_id": AGAIN,
    "runs": 4,
    "revision": 5,
    "result_hash": "hash again",
    "traceparent": "another trace",
}


@pytest.fixture
def dsn(postgres: Postgres) -> str:
    return postgres.dsn("worker_role", search_path="tasks")


@pytest.fixture
def tasks(dsn: str) -> Iterator[Connection]:
    with psycopg.connect(dsn, autocommit=True, row_factory=dict_row) as conn:
        for table in ("task_results", "task_history", "quarantine"):
            conn.execute(f"DELETE FROM {table}")
        yield conn


@pytest.fixture
def records(dsn: str) -> Iterator[Records]:
    made = Records("worker", dsn, lambda point: None)
    yield made
    made.disconnect()


def batch(*rows: Row) -> Batch:
    return Batch({}, msgspec.json.encode(rows).decode())


def at(second: int, minute: int = 4) -> datetime:
    return datetime(2026, 1, 2, 3, minute, second)  # noqa: DTZ001 - the seed's columns have no time zone


def test_a_row_arrives_whole_and_a_later_run_replaces_all_that_is_the_run_s(
    records: Records, tasks: Connection, dsn: str
) -> None:
    records.put(batch(SENT))
    [first] = tasks.execute("SELECT * FROM task_results").fetchall()
    named = {
        name: SENT[name]
        for name in ("task_id", "task_name", "status", "error", "runs", "revision", "result_hash", "traceparent")
    }
    times = {"started_at": at(5), "completed_at": at(6), "synced_at": first["synced_at"]}
    ids = {"id": UUID(int=9), "run_id": UUID(int=1)}
    assert first == named | times | ids | {"result": {"a": 1}, "worker_name": "worker"}
    assert abs(first["synced_at"].replace(tzinfo=UTC) - clock.now()) < timedelta(minutes=5)
    another = Records("another", dsn, lambda point: None)
    another.put(batch(SENT | LATER))
    another.disconnect()
    [second] = tasks.execute("SELECT * FROM task_results").fetchall()
    kept = ("id", "task_id", "task_name", "traceparent")
    changed = {name: LATER[name] for name in ("status", "error", "runs", "revision", "result_hash")}
    changed |= {"started_at": at(5, 5), "completed_at": at(6, 5), "result": {"a": 2}, "run_id": UUID(int=2)}
    assert second == {name: first[name] for name in kept} | changed | {
        "worker_name": "another",
        "synced_at": second["synced_at"],
    }
    assert second["synced_at"] > first["synced_at"]


def test_states_only_rise_and_of_one_state_only_the_same_row_s_later_revision_counts(
    records: Records, tasks: Connection
) -> None:
    cases = {
        str(number): case for number, case in enumerate(itertools.product(RANKS, RANKS, (True, False), (-1, 0, 1)))
    }
    before = [
        SENT | {"id": str(UUID(int=int(task))), "task_id": task, "status": status, "runs": 1}
        for task, (status, *_) in cases.items()
    ]
    records.put(batch(*before))
    records.put(
        batch(
            *(
                SENT
                | {
                    "id": str(UUID(int=int(task) + (0 if same else 1000))),
                    "task_id": task,
                    "status": status,
                    "revision": SENT["revision"] + newer,
                    "runs": 2,
                }
                for task, (_, status, same, newer) in cases.items()
            )
        )
    )
    found = {row["task_id"]: row["runs"] == 2 for row in tasks.execute("SELECT task_id, runs FROM task_results")}
    assert found == {
        task: RANKS[after] > RANKS[first] or (after == first and same and newer > 0)
        for task, (first, after, same, newer) in cases.items()
    }


@pytest.mark.parametrize(
    ("changes", "events"),
    [
        ({}, ["queued", "started", "failed"]),
        ({"status": "success", "error": None}, ["queued", "started", "completed"]),
        ({"status": "pending"}, ["queued", "started"]),
        ({"queued_at": None}, ["started", "failed"]),
        ({"run_id": None}, ["queued"]),
    ],
    ids=str,
)
def test_the_history_follows_from_a_row_and_has_each_event_once(
    records: Records, tasks: Connection, changes: Row, events: list[str]
) -> None:
    sent = SENT | changes
    for _ in range(2):
        records.put(batch(sent))
    status, error = sent["status"], {} if sent["error"] is None else {"error": sent["error"]}
    ended = {"run_id": RUN, "status": status, "result_hash": "hash"} | error
    whole = {
        "queued": (event_id("task", "queued"), None, at(4)),
        "started": (event_id(RUN, "started"), {"run_id": RUN}, at(5)),
        "failed": (event_id(RUN, "failed"), ended, at(6)),
        "completed": (event_id(RUN, "completed"), ended, at(6)),
    }
    found = tasks.execute("SELECT * FROM task_history ORDER BY timestamp").fetchall()
    assert found == [
        {"id": UUID(id_), "task_id": "task", "event_type": event, "event_data": data, "timestamp": when}
        for event, (id_, data, when) in whole.items()
        if event in events
    ]


def test_an_event_of_a_replaced_run_arrives_whole_and_once(records: Records, tasks: Connection) -> None:
    event: Row = {"id": str(UUID(int=5)), "task_id": "task", "event_type": "failed", "event_data": '{"a": 1}'}
    for _ in range(2):
        records.put_events(batch(event | {"timestamp": SENT["started_at"]}))
    found = tasks.execute("SELECT * FROM task_history").fetchall()
    assert found == [event | {"id": UUID(int=5), "event_data": {"a": 1}, "timestamp": at(5)}]


def refused(task: str, revision: Any = 7) -> Names:
    return Names(b"row-" + task.encode(), task.encode(), b"act", b"done", revision)


def test_what_is_refused_is_named_whole_and_what_is_refused_once_more_waits_again(
    records: Records, tasks: Connection
) -> None:
    records.quarantine(refused("task"), "why")
    [first] = tasks.execute("SELECT * FROM quarantine").fetchall()
    named = {"worker_name": "worker", "row_id": "row-task", "task_id": "task", "task_name": "act", "status": "done"}
    assert first == named | {
        "revision": 7,
        "reason": "why",
        "quarantined_at": first["quarantined_at"],
        "released_at": None,
    }
    tasks.execute("UPDATE quarantine SET released_at = quarantined_at")
    records.quarantine(refused("task", 8), "why now")
    [second] = tasks.execute("SELECT * FROM quarantine").fetchall()
    assert second == first | {"revision": 8, "reason": "why now", "quarantined_at": second["quarantined_at"]}
    assert second["quarantined_at"] > first["quarantined_at"]


def test_only_what_a_later_revision_mended_leaves_the_quarantine_and_that_once(
    records: Records, tasks: Connection, dsn: str
) -> None:
    for task, revision in (("older", 3), ("same", 4), ("later", 5)):
        records.quarantine(refused(task, SENT["revision"]), "why")
        records.put(batch(SENT | {"id": str(UUID(int=revision)), "task_id": task, "revision": revision}))
    another = Records("another", dsn, lambda point: None)
    another.quarantine(refused("later", SENT["revision"]), "why")
    another.disconnect()
    released = "SELECT worker_name, task_id, released_at FROM quarantine WHERE released_at IS NOT NULL"
    records.retain(0)
    [first] = tasks.execute(released).fetchall()
    assert (first["worker_name"], first["task_id"]) == ("worker", "later")
    records.retain(0)
    assert tasks.execute(released).fetchall() == [first]


def test_only_what_is_older_than_it_is_kept_goes(records: Records, tasks: Connection) -> None:
    kept, hour, now = clock.now() - timedelta(days=90), timedelta(hours=1), clock.now().isoformat()
    long_ago, lately = (kept - hour).isoformat(), (kept + hour).isoformat()
    # One that ended is as old as its end.
    rows = {
        "ended long ago": ("success", long_ago, long_ago),
        "ended lately": ("success", long_ago, lately),
        "begun long ago and ended now": ("failure", long_ago, now),
        "begun long ago": ("pending", long_ago, None),
        "begun lately": ("pending", lately, None),
    }
    sent = SENT | {"run_id": None, "queued_at": None}
    for number, (name, (status, begun, ended)) in enumerate(rows.items()):
        names = {"id": str(UUID(int=number)), "task_id": name, "status": status}
        records.put(batch(sent | names | {"started_at": begun, "completed_at": ended}))
    for number, moment in enumerate((long_ago, lately)):
        event = {"id": str(UUID(int=number)), "task_id": moment, "event_type": "started", "event_data": None}
        records.put_events(batch(event | {"timestamp": moment}))
    assert records.retain(10)
    found = tasks.execute("SELECT task_id FROM task_results ORDER BY id").fetchall()
    assert [row["task_id"] for row in found] == ["ended lately", "begun long ago and ended now", "begun lately"]
    assert [row["task_id"] for row in tasks.execute("SELECT task_id FROM task_history")] == [lately]


def test_what_has_no_time_to_be_kept_for_is_kept(records: Records, tasks: Connection, postgres: Postgres) -> None:
    records.put(batch(SENT | {"started_at": "2000-01-01", "completed_at": "2000-01-01"}))
    setting = "UPDATE public.settings SET value = %s WHERE key = 'tasks.retention_days'"
    with psycopg.connect(postgres.dsn("migrator"), autocommit=True) as settings:
        settings.execute(setting, ["0"])
        try:
            assert records.retain(10)
        finally:
            settings.execute(setting, ["90"])
    assert tasks.execute("SELECT task_id FROM task_results").fetchall() == [{"task_id": "task"}]


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    db = sqlite3.connect(tmp_path / "worker.db", isolation_level=None)
    schema.bring_up(db)
    yield db
    db.close()


@pytest.fixture
def reader(journal: sqlite3.Connection, tmp_path: Path) -> Iterator[Reader]:
    lock = Lock(tmp_path / "worker.db")
    made = Reader(tmp_path / "worker.db", lock)
    yield made
    made.close()
    lock.close()


def keep(journal: sqlite3.Connection, *rows: Row, table: str = "local_tasks") -> None:
    whole: Row = SENT if table == "local_tasks" else {"event_type": "failed", "event_data": "{}"}
    for number, row in enumerate(rows, 1):
        values = whole | {"id": str(number), "task_id": f"task {number}"} | row
        journal.execute(
            f"INSERT INTO {table} ({', '.join(values)}) VALUES ({', '.join('?' * len(values))})", list(values.values())
        )


def test_what_waits_is_read_whole_in_its_order_and_nothing_else(journal: sqlite3.Connection, reader: Reader) -> None:
    waiting: list[Row] = [{"revision": number} for number in (5, 6, 7)]
    keep(journal, {}, {"synced_to_pg": 1}, {"quarantine": "why"}, *waiting)
    assert reader.is_ready()
    assert reader.last_rowid() == 6
    assert reader.rowids(0, 6, 10) == [1, 4, 5, 6]
    assert reader.rowids(1, 5, 10) == [4, 5]
    assert reader.rowids(0, 6, 2) == [1, 4]
    found = reader.batch(1, 5, 10)
    assert found.revisions == {4: 5, 5: 6}
    assert [row["task_id"] for row in msgspec.json.decode(found.rows)] == ["task 4", "task 5"]
    assert reader.batch(0, 6, 2).rowids == [1, 4]
    assert msgspec.json.decode(reader.batch(0, 1, 1).rows) == [SENT | {"id": "1", "task_id": "task 1"}]
    one = len(SENT["result"])
    assert [reader.size(*span) for span in ((0, 6, 10), (1, 5, 10), (0, 6, 2))] == [4 * one, 2 * one, 2 * one]


def test_events_that_wait_are_read_whole_in_their_order_and_nothing_else(
    journal: sqlite3.Connection, reader: Reader
) -> None:
    times: list[Row] = [
        {"timestamp": f"{number}", "synced_to_pg": state} for number, state in enumerate((0, 1, -1, 0, 0))
    ]
    keep(journal, *times, table="local_events")
    assert reader.is_ready()
    assert reader.event_rowids(0, 10) == [1, 4, 5]
    assert reader.event_rowids(1, 1) == [4]
    assert [reader.events(*span).rowids for span in ((0, 5, 10), (1, 4, 10), (0, 5, 2))] == [[1, 4, 5], [4], [1, 4]]
    whole = {"id": "1", "task_id": "task 1", "event_type": "failed", "event_data": "{}", "timestamp": "0"}
    assert msgspec.json.decode(reader.events(0, 1, 1).rows) == [whole]
    assert reader.event_names(4) == Names(b"4", b"task 4", b"event failed", None, 0)
    assert reader.event_names(9) is None


def test_what_waits_is_counted_with_the_age_of_the_oldest(journal: sqlite3.Connection, reader: Reader) -> None:
    ages = {minutes: (clock.now() - timedelta(minutes=minutes)).isoformat() for minutes in (10, 20, 30, 40)}
    rows: list[Row] = [{"changed_at": ages[10]}, {"changed_at": ages[20]}]
    left: list[Row] = [{"changed_at": ages[30], "quarantine": "why"}, {"changed_at": ages[40], "synced_to_pg": 1}]
    keep(journal, *rows, *left)
    keep(journal, {"timestamp": "0", "synced_to_pg": -1}, {"timestamp": "0"}, table="local_events")
    found = reader.backlog()
    assert msgspec.structs.replace(found, oldest=0.0) == Backlog(2, 0.0, 2)
    assert 1200 <= found.oldest < 1800


@pytest.mark.parametrize(
    ("query", "row", "goes"),
    [
        (readers.SYNCED, {"completed_at": "2026-01-01", "synced_to_pg": 1}, True),
        (readers.SYNCED, {"completed_at": "2026-01-01", "synced_to_pg": 0}, False),
        (readers.SYNCED, {"completed_at": "2026-01-02", "synced_to_pg": 1}, False),
        (readers.SYNCED, {"completed_at": None, "synced_to_pg": 1}, False),
        (readers.SYNCED_EVENTS, {"timestamp": "2026-01-01", "synced_to_pg": 1}, True),
        (readers.SYNCED_EVENTS, {"timestamp": "2026-01-01", "synced_to_pg": 0}, False),
        (readers.SYNCED_EVENTS, {"timestamp": "2026-01-01", "synced_to_pg": -1}, False),
        (readers.SYNCED_EVENTS, {"timestamp": "2026-01-02", "synced_to_pg": 1}, False),
        (readers.STALE, {"status": "pending", "synced_to_pg": 1, "changed_at": "2026-01-01"}, True),
        (readers.STALE, {"status": "pending", "synced_to_pg": 0, "changed_at": "2026-01-01"}, False),
        (readers.STALE, {"status": "failure", "synced_to_pg": 1, "changed_at": "2026-01-01"}, False),
        (readers.STALE, {"status": "pending", "synced_to_pg": 1, "changed_at": "2026-01-02"}, False),
    ],
)
def test_only_what_is_synced_and_old_enough_may_go(
    journal: sqlite3.Connection, reader: Reader, query: str, row: Row, goes: bool
) -> None:
    keep(journal, row, table="local_events" if query == readers.SYNCED_EVENTS else "local_tasks")
    assert reader.removable(query, "2026-01-02") == ([1] if goes else [])
