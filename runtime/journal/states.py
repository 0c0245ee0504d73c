"""The states of a task in a journal, and every transition between them.

    ────────────────────────────────────────────────────────────────────────────────────────────────────
    the row is          a run begins                                   a run ends as `status`
    ────────────────────────────────────────────────────────────────────────────────────────────────────
    absent              → pending                                      → status (its file was set aside)
    pending             → pending of the new run                       → status
                        → failure, after five interrupted runs
    failure             → stays, and is run again when an operator     → status
                          wants it; otherwise the answer is sent again
    success             → stays, and is run again when its owner       → stays when `status` is failure,
                          never got the payload; otherwise sent again    otherwise → success of the new run
    ────────────────────────────────────────────────────────────────────────────────────────────────────

States only rise. A terminal row that is run again stays as it is until that run ends at least as well; which run that is, and
how often its worker died with it, is in `local_again`. A run that leaves the row leaves its events in `local_events`.
"""

import sqlite3
from typing import Any, Literal

import msgspec
from msgspec import Struct

from runtime.journal.results import event_id, hash_result, split_error
from shared.ids import new_id

# A task whose runs were cut off so often (its worker died with it) ends as a failure.
MAX_INTERRUPTIONS = 5
_INTERRUPTED = "interrupted: The worker stopped during this task five times."


class Start(Struct, frozen=True):
    """A task that a worker has in its hands and is about to work on."""

    task_id: str
    name: str
    run_id: str
    queued_at: str
    retries: int = 0
    traceparent: str = ""


class Ended(Struct, frozen=True):
    """A task's terminal state as the journal has it; `record` and `payload` are JSON."""

    task_id: str
    run_id: str
    status: Literal["success", "failure"]
    completed_at: str
    result_hash: str
    record: str | None = None
    payload: str | None = None
    error: str | None = None


class _Row(Struct, frozen=True):
    """What the journal has of a task."""

    status: Any  # a row of a damaged file may say anything
    run_id: str | None
    interruptions: int
    retries: int
    result: str | None
    payload: str | None
    payload_until: str | None
    error: str | None
    started_at: str
    completed_at: str | None
    result_hash: str | None


def begin(db: sqlite3.Connection, start: Start, now: str) -> Ended | None:
    """A run begins: None to work on it, or the terminal state to send again."""
    # As a rule a task is new: one statement says so and writes it.
    if _insert_pending(db, start, now):
        return None
    row = _select(db, start.task_id)
    assert row is not None, "the insert has just met it"
    if row.status == "pending":
        if row.interruptions >= MAX_INTERRUPTIONS:
            return _end_as_interrupted(db, start, row, now)
        _keep_events(db, start.task_id, row)
        _take_over(db, start, row, now)
        return None
    if _is_wanted_again(row, start) and _note_another_run(db, start):
        _keep_events(db, start.task_id, row)
        return None
    return Ended(
        start.task_id,
        row.run_id or "",
        row.status,
        row.completed_at or "",
        row.result_hash or "",
        row.result,
        row.payload,
        row.error,
    )


def end(db: sqlite3.Connection, ended: Ended, start: Start, started_at: str, payload_until: str) -> None:
    """A run ends. `payload_until` is when the journal forgets the payload."""
    values = {
        "task_id": ended.task_id,
        "status": ended.status,
        "result": ended.record,
        "error": ended.error,
        "payload": ended.payload,
        "payload_until": payload_until if ended.payload is not None else None,
        "result_hash": ended.result_hash,
        "started_at": started_at,
        "completed_at": ended.completed_at,
        "run_id": ended.run_id,
        "retries": start.retries,
    }
    # As a rule the row is this run's own, and the syncer has not seen it yet.
    if db.execute(_END_OWN, values).rowcount:
        return
    row = _select(db, ended.task_id)
    if row is None:
        # The journal was set aside, or restored, under a running worker.
        new = {"id": str(new_id()), "name": start.name, "queued_at": start.queued_at, "traceparent": start.traceparent}
        db.execute(_INSERT_ENDED, values | new)
        return
    db.execute("DELETE FROM local_again WHERE task_id = ?", [ended.task_id])
    if row.status == "success" and ended.status == "failure":
        _keep(
            db,
            ended.task_id,
            ended.run_id,
            started_at,
            ended.status,
            ended.completed_at,
            ended.result_hash,
            ended.error,
        )
        return
    if row.run_id != ended.run_id:
        _keep_events(db, ended.task_id, row)
    db.execute(_END, values)


def count_interruptions(db: sqlite3.Connection, run_ids: list[str]) -> int:
    """Note that a worker died during these runs; return how many of them were still open."""
    runs = msgspec.json.encode(run_ids).decode()
    return sum(db.execute(statement, [runs]).rowcount for statement in _COUNT_INTERRUPTIONS)


def forget_payloads(db: sqlite3.Connection, now: str) -> int:
    """Overwrite the payloads whose time is over; return how many."""
    # A person's words must not live on in a free page. On for this alone, because it costs every other commit a fifth of
    # its speed.
    db.execute("PRAGMA secure_delete=ON").fetchall()
    try:
        return db.execute(
            "UPDATE local_tasks SET payload = NULL WHERE payload IS NOT NULL AND payload_until < ?", [now]
        ).rowcount
    finally:
        db.execute("PRAGMA secure_delete=OFF").fetchall()


_INSERT_PENDING = """
INSERT INTO local_tasks (id, task_id, task_name, status, started_at, run_id, runs, retries, queued_at, changed_at,
                         traceparent, revision)
VALUES (?, ?, ?, 'pending', ?, ?, 1, ?, ?, ?, ?, 1)
    ON CONFLICT (task_id) DO NOTHING
"""
_SELECT = """
SELECT status, run_id, interruptions, retries, result, payload, payload_until, error, started_at, completed_at, result_hash
  FROM local_tasks
 WHERE task_id = ?
"""
_TAKE_OVER = """
UPDATE local_tasks
   SET run_id = ?, runs = runs + 1, retries = ?, started_at = ?, changed_at = ?, synced_to_pg = 0, revision = revision + 1
 WHERE task_id = ?
"""
_NOTE_ANOTHER_RUN = """
INSERT INTO local_again AS a (task_id, run_id, retries)
VALUES (?, ?, ?)
    ON CONFLICT (task_id) DO UPDATE
   SET run_id = excluded.run_id,
       retries = excluded.retries,
       interruptions = CASE WHEN excluded.retries > a.retries THEN 0 ELSE a.interruptions END
RETURNING interruptions
"""
_END = """
UPDATE local_tasks
   SET status = :status, result = :result, error = :error, payload = :payload, payload_until = :payload_until,
       result_hash = :result_hash, started_at = :started_at, completed_at = :completed_at, changed_at = :completed_at,
       run_id = :run_id, retries = :retries, synced_to_pg = 0, quarantine = NULL, revision = revision + 1
 WHERE task_id = :task_id
"""
# Of the columns with an index only those that change: SQLite writes an index anew for each column that is named.
_END_OWN = """
UPDATE local_tasks
   SET status = :status, result = :result, error = :error, payload = :payload, payload_until = :payload_until,
       result_hash = :result_hash, started_at = :started_at, completed_at = :completed_at, changed_at = :completed_at,
       retries = :retries, quarantine = NULL, revision = revision + 1
 WHERE task_id = :task_id AND run_id = :run_id AND status = 'pending' AND synced_to_pg = 0
"""
_INSERT_ENDED = """
INSERT INTO local_tasks (status, result, error, payload, payload_until, result_hash, started_at, completed_at, changed_at,
                         run_id, retries, id, task_id, task_name, queued_at, traceparent, runs, revision)
VALUES (:status, :result, :error, :payload, :payload_until, :result_hash, :started_at, :completed_at, :completed_at,
        :run_id, :retries, :id, :task_id, :name, :queued_at, :traceparent, 1, 1)
"""
_INSERT_EVENT = """
INSERT INTO local_events (id, task_id, event_type, event_data, timestamp)
VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (id) DO NOTHING
"""
_COUNT_INTERRUPTIONS = (
    """
    UPDATE local_tasks
       SET interruptions = interruptions + 1
     WHERE status = 'pending' AND run_id IN (SELECT value FROM json_each(?))
    """,
    """
    UPDATE local_again
       SET interruptions = interruptions + 1
     WHERE run_id IN (SELECT value FROM json_each(?))
    """,
)


def _insert_pending(db: sqlite3.Connection, start: Start, now: str) -> bool:
    values = (start.run_id, start.task_id, start.name, now, start.run_id, start.retries, start.queued_at, now)
    return db.execute(_INSERT_PENDING, (*values, start.traceparent)).rowcount > 0


def _select(db: sqlite3.Connection, task_id: str) -> _Row | None:
    row = db.execute(_SELECT, [task_id]).fetchone()
    return None if row is None else _Row(*row)


def _end_as_interrupted(db: sqlite3.Connection, start: Start, row: _Row, now: str) -> Ended:
    hash_ = hash_result("failure", None, None, split_error(_INTERRUPTED))
    ended = Ended(start.task_id, row.run_id or "", "failure", now, hash_, error=_INTERRUPTED)
    end(db, ended, start, row.started_at, now)
    return ended


def _take_over(db: sqlite3.Connection, start: Start, row: _Row, now: str) -> None:
    db.execute(_TAKE_OVER, [start.run_id, max(row.retries, start.retries), now, now, start.task_id])


def _is_wanted_again(row: _Row, start: Start) -> bool:
    by_operator = row.status == "failure" and start.retries > row.retries
    # Its owner never got the payload, or it would not ask.
    return by_operator or (row.payload is None and row.payload_until is not None)


def _note_another_run(db: sqlite3.Connection, start: Start) -> bool:
    """Whether the task may run once more: a retry that takes its worker along would do so for ever."""
    (interruptions,) = db.execute(_NOTE_ANOTHER_RUN, [start.task_id, start.run_id, start.retries]).fetchone()
    return bool(interruptions < MAX_INTERRUPTIONS)


def _keep_events(db: sqlite3.Connection, task_id: str, row: _Row) -> None:
    # The run that the row tells of is about to be replaced there; the syncer may not have seen it yet.
    if row.run_id:
        _keep(db, task_id, row.run_id, row.started_at, row.status, row.completed_at, row.result_hash, row.error)


def _keep(
    db: sqlite3.Connection,
    task_id: str,
    run_id: str,
    started_at: str,
    status: str,
    completed_at: str | None,
    result_hash: str | None,
    error: str | None,
) -> None:
    events = [(event_id(run_id, "started"), task_id, "started", _data(run_id), started_at)]
    if completed_at is not None and status != "pending":
        event = "completed" if status == "success" else "failed"
        data = _data(run_id, status=status, result_hash=result_hash or "", **({"error": error} if error else {}))
        events.append((event_id(run_id, event), task_id, event, data, completed_at))
    db.executemany(_INSERT_EVENT, events)


def _data(run_id: str, **facts: str) -> str:
    return msgspec.json.encode({"run_id": run_id, **facts}).decode()
