"""What each transition leaves of a task in the journal: every column of its row, its events, and the note of another run"""

import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from msgspec import Struct

from runtime.journal import schema, server, states
from runtime.journal.results import event_id, hash_result, split_error
from runtime.journal.states import MAX_INTERRUPTIONS, Ended, Start

Row = dict[str, Any]

# Another value in each field, so that none can be in another's place.
FIRST = Start("task", "act", "run-1", "queued", 1, "trace")
SECOND = Start("task", "act", "run-2", "queued again", 0, "trace again")
WANTED = Start("task", "act", "run-2", "queued again", 2, "trace again")
DONE = Ended("task", "run-1", "success", "completed", "hash", '{"a": 1}', '{"b": 2}')
FAILED = Ended("task", "run-1", "failure", "completed", "hash", error="code: why")
DONE_AGAIN = Ended("task", "run-2", "success", "completed again", "hash again", '{"a": 3}')
FAILED_AGAIN = Ended("task", "run-2", "failure", "completed again", "hash again", error="code: why again")

PENDING: Row = {
    "id": "run-1",
    "task_id": "task",
    "task_name": "act",
    "status": "pending",
    "result": None,
    "error": None,
    "started_at": "begun",
    "completed_at": None,
    "synced_to_pg": 0,
    "revision": 1,
    "run_id": "run-1",
    "runs": 1,
    "interruptions": 0,
    "retries": 1,
    "queued_at": "queued",
    "changed_at": "begun",
    "traceparent": "trace",
    "result_hash": None,
    "payload": None,
    "payload_until": None,
    "quarantine": None,
}
SUCCESS: Row = PENDING | {
    "status": "success",
    "result": '{"a": 1}',
    "started_at": "worked on",
    "completed_at": "completed",
    "changed_at": "completed",
    "result_hash": "hash",
    "payload": '{"b": 2}',
    "payload_until": "until",
    "revision": 2,
}
FAILURE: Row = SUCCESS | {
    "status": "failure",
    "result": None,
    "error": "code: why",
    "payload": None,
    "payload_until": None,
}
REPLACED: Row = {
    "run_id": "run-2",
    "status": "success",
    "result": '{"a": 3}',
    "error": None,
    "payload": None,
    "payload_until": None,
    "result_hash": "hash again",
    "started_at": "worked on again",
    "completed_at": "completed again",
    "changed_at": "completed again",
    "retries": 0,
    "synced_to_pg": 0,
    "quarantine": None,
}
INTERRUPTED = "interrupted: The worker stopped during this task five times."

STARTED = ("run-1", "started", {"run_id": "run-1"}, "begun")
RUN = ("run-1", "started", {"run_id": "run-1"}, "worked on")
HAS_DONE = ("run-1", "completed", {"run_id": "run-1", "status": "success", "result_hash": "hash"}, "completed")
HAS_FAILED = (
    *("run-1", "failed", {"run_id": "run-1", "status": "failure", "result_hash": "hash", "error": "code: why"}),
    "completed",
)
FAILS_AGAIN = [
    ("run-2", "started", {"run_id": "run-2"}, "worked on again"),
    (
        *("run-2", "failed"),
        {"run_id": "run-2", "status": "failure", "result_hash": "hash again", "error": "code: why again"},
        "completed again",
    ),
]


class Case(Struct):
    """A row as it is, what happens, what is answered, and all that is different then.

    Attributes:
        before: what the row has of its own beside `row`; `row` None: there is none.
        noted: what `local_again` has, run, retries and interruptions; `notes` what it has afterwards.
    """

    row: Row | None
    happens: Callable[[sqlite3.Connection], Ended | None]
    changes: Row
    before: Row = {}
    answer: Ended | None = None
    events: list[tuple[Any, ...]] = []
    noted: tuple[str, int, int] | None = None
    notes: tuple[str, int, int] | None = None


def begins(start: Start) -> Callable[[sqlite3.Connection], Ended | None]:
    return lambda db: states.begin(db, start, "begun again")


def ends(ended: Ended, start: Start, started_at: str = "worked on again") -> Callable[[sqlite3.Connection], None]:
    return lambda db: states.end(db, ended, start, started_at, "until")


MARKED: Row = {"synced_to_pg": 1, "quarantine": "refused"}
FORGOTTEN: Row = {"payload": None}
NO_PAYLOAD: Row = {"payload": None, "payload_until": None}
ENDS_OWN = {key: SUCCESS[key] for key in SUCCESS if SUCCESS[key] != PENDING[key]}
TAKEN_OVER: Row = {
    "run_id": "run-2",
    "runs": 2,
    "started_at": "begun again",
    "changed_at": "begun again",
    "synced_to_pg": 0,
    "revision": 2,
}
CUT_OFF = msgspec.structs.replace(
    FAILED,
    completed_at="begun again",
    error=INTERRUPTED,
    result_hash=hash_result("failure", None, None, split_error(INTERRUPTED)),
)
CASES = {
    "a task is new": Case(None, begins(FIRST), PENDING | {"started_at": "begun again", "changed_at": "begun again"}),
    "it comes again": Case(PENDING, begins(SECOND), TAKEN_OVER, {"synced_to_pg": 1}, events=[STARTED]),
    "an operator's retry comes": Case(PENDING, begins(WANTED), TAKEN_OVER | {"retries": 2}, events=[STARTED]),
    "it was cut off four times": Case(
        PENDING, begins(SECOND), TAKEN_OVER, {"interruptions": MAX_INTERRUPTIONS - 1}, events=[STARTED]
    ),
    "it was cut off five times": Case(
        PENDING,
        begins(SECOND),
        {
            "status": "failure",
            "error": INTERRUPTED,
            "completed_at": "begun again",
            "changed_at": "begun again",
            "result_hash": CUT_OFF.result_hash,
            "retries": 0,
            "revision": 2,
        },
        {"interruptions": MAX_INTERRUPTIONS},
        answer=CUT_OFF,
    ),
    "its run ends": Case(
        PENDING, ends(DONE, FIRST, "worked on"), ENDS_OWN | {"quarantine": None}, {"quarantine": "refused"}
    ),
    "its run fails": Case(
        PENDING,
        ends(FAILED, FIRST, "worked on"),
        {key: FAILURE[key] for key in FAILURE if FAILURE[key] != PENDING[key]},
    ),
    "its run ends when it was synced": Case(
        PENDING, ends(DONE, FIRST, "worked on"), ENDS_OWN | {"synced_to_pg": 0, "quarantine": None}, MARKED
    ),
    "another run ends": Case(PENDING, ends(DONE_AGAIN, SECOND), REPLACED | {"revision": 2}, MARKED, events=[STARTED]),
    "its file was set aside": Case(None, ends(DONE, FIRST, "worked on"), SUCCESS | {"revision": 1}),
    "a failure is asked for": Case(FAILURE, begins(SECOND), {}, answer=FAILED),
    "a failure is asked for with the retry that it had": Case(
        FAILURE, begins(msgspec.structs.replace(WANTED, retries=1)), {}, answer=FAILED
    ),
    "a failure is wanted again": Case(FAILURE, begins(WANTED), {}, events=[HAS_FAILED, RUN], notes=("run-2", 2, 0)),
    "a failure is asked for again": Case(
        FAILURE, begins(WANTED), {}, events=[HAS_FAILED, RUN], noted=("run-0", 2, 4), notes=("run-2", 2, 4)
    ),
    "a failure's retry was cut off five times": Case(
        FAILURE, begins(WANTED), {}, answer=FAILED, noted=("run-0", 2, 5), notes=("run-2", 2, 5)
    ),
    "a failure is wanted once more": Case(
        FAILURE, begins(WANTED), {}, events=[HAS_FAILED, RUN], noted=("run-0", 1, 5), notes=("run-2", 2, 0)
    ),
    "a failure's retry succeeds": Case(
        FAILURE,
        ends(DONE_AGAIN, SECOND),
        REPLACED | {"revision": 3},
        MARKED,
        events=[HAS_FAILED, RUN],
        noted=("run-2", 2, 4),
    ),
    "a failure's retry fails": Case(
        FAILURE,
        ends(FAILED_AGAIN, SECOND),
        REPLACED | {"status": "failure", "result": None, "error": "code: why again", "revision": 3},
        events=[HAS_FAILED, RUN],
    ),
    "a success is asked for": Case(SUCCESS, begins(SECOND), {}, answer=DONE),
    "a success is wanted again": Case(SUCCESS, begins(WANTED), {}, answer=DONE),
    "a success without a payload is asked for": Case(
        SUCCESS, begins(SECOND), {}, NO_PAYLOAD, answer=msgspec.structs.replace(DONE, payload=None)
    ),
    "a success whose payload is forgotten is asked for": Case(
        SUCCESS, begins(SECOND), {}, FORGOTTEN, events=[HAS_DONE, RUN], notes=("run-2", 0, 0)
    ),
    "a success is run again and fails": Case(
        SUCCESS, ends(FAILED_AGAIN, SECOND), {}, FORGOTTEN, events=FAILS_AGAIN, noted=("run-2", 0, 0)
    ),
    "a success is run again and succeeds": Case(
        SUCCESS, ends(DONE_AGAIN, SECOND), REPLACED | {"revision": 3}, events=[HAS_DONE, RUN], noted=("run-2", 0, 0)
    ),
}


@pytest.fixture
def db() -> Iterator[sqlite3.Connection]:
    made = sqlite3.connect(":memory:", isolation_level=None)
    schema.bring_up(made)
    yield made
    made.close()


def insert(db: sqlite3.Connection, table: str, row: Row) -> None:
    places = ", ".join("?" * len(row))
    db.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})", list(row.values()))


def tasks(db: sqlite3.Connection) -> list[Row]:
    cursor = db.execute("SELECT * FROM local_tasks ORDER BY task_id")
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, values, strict=True)) for values in cursor]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_transition_changes_what_it_should_and_nothing_else(db: sqlite3.Connection, case: Case) -> None:
    before = None if case.row is None else case.row | case.before
    if before is not None:
        insert(db, "local_tasks", before)
    if case.noted is not None:
        insert(
            db,
            "local_again",
            dict(zip(("task_id", "run_id", "retries", "interruptions"), ("task", *case.noted), strict=True)),
        )
    assert case.happens(db) == case.answer
    [row] = tasks(db)
    made_at_the_end = {"id": row["id"]} if before is None and row["completed_at"] else {}
    assert row == (before or {}) | case.changes | made_at_the_end
    events = db.execute(
        "SELECT id, task_id, event_type, event_data, timestamp, synced_to_pg FROM local_events"
    ).fetchall()
    kept = [(task, type_, msgspec.json.decode(data), at, synced) for _, task, type_, data, at, synced in events]
    assert sorted(kept, key=str) == sorted([("task", *rest, 0) for _, *rest in case.events], key=str)
    assert {id_ for id_, *_ in events} == {event_id(run, type_) for run, type_, *_ in case.events}
    noted = db.execute("SELECT task_id, run_id, retries, interruptions FROM local_again").fetchall()
    assert noted == ([("task", *case.notes)] if case.notes else [])


def test_only_what_was_under_way_counts_as_cut_off(db: sqlite3.Connection) -> None:
    for number, row in enumerate([PENDING, PENDING | {"run_id": "run-2"}, SUCCESS]):
        insert(db, "local_tasks", row | {"id": str(number), "task_id": str(number)})
    for run in ("run-1", "run-2"):
        insert(db, "local_again", {"task_id": run, "run_id": run, "retries": 0})
    assert states.count_interruptions(db, ["run-1", "run-0"]) == 2
    assert [row["interruptions"] for row in tasks(db)] == [1, 0, 0]
    assert db.execute("SELECT interruptions FROM local_again ORDER BY run_id").fetchall() == [(1,), (0,)]


def test_a_payload_is_forgotten_when_its_time_is_over_and_not_before(db: sqlite3.Connection) -> None:
    for number, until in enumerate(["2026-01-01", "2026-01-02", "2026-01-03"]):
        insert(db, "local_tasks", SUCCESS | {"id": str(number), "task_id": str(number), "payload_until": until})
    assert states.forget_payloads(db, "2026-01-02") == 1
    assert [row["payload"] for row in tasks(db)] == [None, '{"b": 2}', '{"b": 2}']
    assert states.forget_payloads(db, "2026-01-02") == 0, "it is gone once"
    assert db.execute("PRAGMA secure_delete").fetchone() == (0,), "every other commit would pay for it"


def file_of(db: sqlite3.Connection) -> str:
    insert(db, "meta", {"key": "file_id", "value": "this"})
    return "this"


@pytest.fixture
def three(db: sqlite3.Connection) -> sqlite3.Connection:
    """Three rows, of which the syncer has read the first two, and the second has changed since."""
    for number, revision in enumerate([1, 2, 1], 1):
        insert(db, "local_tasks", PENDING | {"id": str(number), "task_id": str(number), "revision": revision})
    return db


def test_a_mark_is_for_the_revision_that_was_read_in_the_file_that_was_read(three: sqlite3.Connection) -> None:
    this = file_of(three)
    assert server.mark(three, "another", [(1, [1, 2])]) == 0
    assert server.mark(three, this, [(1, [1, 2])]) == 1
    assert [row["synced_to_pg"] for row in tasks(three)] == [1, 0, 0]


def test_a_quarantine_is_for_the_revision_that_was_refused_in_the_file_that_was_read(three: sqlite3.Connection) -> None:
    this = file_of(three)
    assert server.quarantine(three, "another", 1, 1, "why") == 0
    assert [server.quarantine(three, this, rowid, 1, "why") for rowid in (1, 2)] == [1, 0]
    assert [row["quarantine"] for row in tasks(three)] == ["why", None, None]


@pytest.mark.parametrize("table", ["local_tasks", "local_events"])
def test_only_what_is_synced_is_dropped_and_of_the_file_that_was_read_alone(
    three: sqlite3.Connection, table: str
) -> None:
    this = file_of(three)
    for number in range(1, 4):
        event = {"id": str(number), "task_id": "task", "event_type": "started", "timestamp": "begun"}
        insert(three, "local_events", event)
    assert server.mark_events(three, "another", 1, [1, 2]) == 0
    assert [server.mark_events(three, this, state, [rowid]) for state, rowid in ((1, 1), (-1, 2))] == [1, 1]
    assert three.execute("SELECT synced_to_pg FROM local_events").fetchall() == [(1,), (-1,), (0,)]
    three.execute("UPDATE local_tasks SET synced_to_pg = 1 WHERE rowid = 1")
    assert server.drop(three, "another", table, [1, 2]) == 0
    assert server.drop(three, this, "meta", [1]) == 0
    assert server.drop(three, this, table, [1, 2]) == 1
    left = three.execute(f"SELECT rowid FROM {table}").fetchall()
    assert left == [(2,), (3,)]
