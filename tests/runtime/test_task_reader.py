"""The one reader of tasks: what it lists first, that it compares times as times, and by which clock."""

import contextlib
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from runtime.commands import operator
from runtime.commands.task_reader import Wanted, backlog, moment, read, whole
from runtime.journal import schema
from shared import clock
from shared.ids import new_id

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def conn(environment: dict[str, str]) -> Iterator[psycopg.Connection[Any]]:
    """The database as its owner; what a test writes there is undone."""
    with psycopg.connect(environment["MIGRATION_DB_URL"]) as conn:
        conn.execute("SET LOCAL TIME ZONE 'Asia/Seoul'")
        yield conn
        conn.rollback()


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    path = tmp_path / "worker.db"
    with contextlib.closing(sqlite3.connect(path)) as db:
        schema.bring_up(db)
    return path


def journalled(path: Path, status: str, started: str, **more: Any) -> str:
    row = {
        "id": str(new_id()),
        "task_id": str(new_id()),
        "name": "sort",
        "status": status,
        "at": started,
        "error": None,
    }
    row |= more
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute(
            """
            INSERT INTO local_tasks (id, task_id, task_name, status, started_at, changed_at, error)
            VALUES (:id, :task_id, :name, :status, :at, :at, :error)
            """,
            row,
        )
    return str(row["task_id"])


def synced(conn: psycopg.Connection[Any], status: str, started: datetime) -> str:
    id_ = str(new_id())
    conn.execute(
        """
        INSERT INTO tasks.task_results (id, task_id, task_name, worker_name, status, started_at)
        VALUES (%s, %s, 'sort', 'reader', %s, %s)
        """,
        [new_id(), id_, status, started.replace(tzinfo=None)],
    )
    return id_


def test_a_failure_does_not_leave_the_list_however_much_succeeds_after_it(
    conn: psycopg.Connection[Any], journal: Path
) -> None:
    failed = synced(conn, "failure", NOON)
    for minute in range(70):
        synced(conn, "success", NOON + timedelta(minutes=minute))
    pending = [synced(conn, "pending", NOON + timedelta(minutes=minute)) for minute in (9, 3)]
    found = read(conn, [], {"reader": journal}, Wanted(service="reader", limit=60))
    assert [task.id for task in found[:3]] == [failed, *reversed(pending)]
    assert len(found) == 63


def test_times_of_a_journal_and_of_postgresql_are_compared_as_times(
    conn: psycopg.Connection[Any], journal: Path
) -> None:
    # As text "2026-03-01T…" is behind every "2026-03-01 …", whatever the hour: the failures of PostgreSQL sank below.
    late = synced(conn, "failure", NOON + timedelta(hours=2))
    early = [
        journalled(journal, "failure", "2026-03-01T12:00:00.000001+00:00"),
        journalled(journal, "failure", "2026-03-01 11:59:00"),
        journalled(journal, "failure", "2026-03-01T20:58:00+09:00"),
    ]
    found = read(conn, [], {"reader": journal}, Wanted(service="reader", limit=3))
    assert [task.id for task in found] == [late, early[0], early[1]]
    assert moment("2026-03-01T21:00:00+09:00") == moment(NOON.replace(tzinfo=None)) == NOON


def test_tasks_are_found_by_status_service_function_and_text(conn: psycopg.Connection[Any], journal: Path) -> None:
    torn = journalled(journal, "failure", "2026-03-01T12:00:00+00:00", error="the sack is Torn")
    other = journalled(journal, "success", "2026-03-01T12:00:00+00:00", name="weigh")

    def ids(**wanted: Any) -> list[str]:
        return [task.id for task in read(conn, [], {"reader": journal}, Wanted(**wanted))]

    assert ids(text="torn") == ids(service="reader", status="failure") == ids(text=torn[:30].upper()) == [torn]
    assert ids(function="weigh") == ids(text="reader/weigh") == [other]
    assert ids(text="100%") == ids(service="reader", function="sack") == []


def test_a_task_is_named_by_the_end_that_a_list_shows_or_by_its_beginning_unless_several_are(
    conn: psycopg.Connection[Any], journal: Path
) -> None:
    one = journalled(journal, "failure", "2026-03-01T12:00:00+00:00", error="after another one")
    other = synced(conn, "success", NOON)
    for id_ in (one, other):
        for part in (id_[-8:], f"…{id_[-8:]}", id_[:-2].upper(), id_):
            assert whole(conn, [], {"reader": journal}, part) == id_
    assert whole(conn, [], {"reader": journal}, "another") == "another"  # what an error says is no id
    assert whole(conn, [], {"reader": journal}, one[-5:]) == one[-5:]  # too short to be meant
    again = journalled(journal, "success", "2026-03-01T12:00:00+00:00", task_id=f"{'a' * 28}{one[28:]}")
    with pytest.raises(operator.Unknown, match="2 tasks fit") as raised:
        whole(conn, [], {"reader": journal}, one[-8:])
    assert again in str(raised.value)


def test_tasks_are_found_by_when_they_began_wherever_they_are_kept(
    conn: psycopg.Connection[Any], journal: Path
) -> None:
    old, new = (synced(conn, "success", NOON + timedelta(hours=hours)) for hours in (-2, 2))
    early, late = (journalled(journal, "pending", f"2026-03-01T{hour}:00:00+09:00", name="wait") for hour in (20, 22))
    found = read(conn, [], {"reader": journal}, Wanted(since=NOON, service="reader"))
    assert {task.id for task in found} >= {new, late}
    assert not {task.id for task in found} & {old, early}


def test_what_waits_ages_by_the_systems_clock(conn: psycopg.Connection[Any], journal: Path, tmp_path: Path) -> None:
    journalled(journal, "success", clock.now().isoformat())
    moved = str(tmp_path / "clock")
    clock.write_offset(moved, 7200)
    clock.use_file(moved)
    try:
        waits = backlog(conn, [], {"reader": journal})
    finally:
        clock.use_file(None)
    assert waits["journal"] == {"reader": 1}
    assert 7200 <= waits["age"]["reader"] < 7300
