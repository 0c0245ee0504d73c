"""The schema `tasks` in PostgreSQL, as a syncer writes it: idempotent statements in which states only rise.

History events have ids made from their runs, and both tables are written in the order of their keys: any number of syncers
may send overlapping rows, in any order, again and again.

A statement does not wait for the disk (`synchronous_commit` is off): what is put is as good as done, and rows are marked in the
journal once PostgreSQL's log is on the disk beyond the place where it was after them (`flushed`). So a drain costs the disk a
few large writes and not one for each statement, of which the worker's own commits would feel each.
"""

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import psycopg

from runtime import pg
from runtime.journal.reader import Batch, Names, Unreadable
from shared import clock

log = logging.getLogger("eco2.syncer")

# What one row can be refused for, as opposed to a server that is away.
REFUSED = (
    psycopg.DataError,
    psycopg.IntegrityError,
    Unreadable,
    psycopg.errors.StatementTooComplex,
    psycopg.errors.ProgramLimitExceeded,
)

# The main query runs first and the tasks after it, in every syncer alike, and each in the order of its key: no deadlock.
_WRITE = """
WITH r AS MATERIALIZED (
    SELECT id, task_id, task_name, status, result::jsonb AS result, error, started_at, completed_at, run_id, runs, revision,
           result_hash, traceparent, queued_at
      FROM json_to_recordset(%s::json) AS u (
               id uuid, task_id text, task_name text, status text, result text, error text, started_at timestamp,
               completed_at timestamp, run_id uuid, runs integer, revision bigint, result_hash text, traceparent text,
               queued_at timestamp)),
put AS (
    INSERT INTO tasks.task_results AS t (
               id, task_id, task_name, worker_name, status, result, error, started_at, completed_at, synced_at, run_id, runs,
               revision, result_hash, traceparent)
    SELECT id, task_id, task_name, %s, status, result, error, started_at, completed_at, %s, run_id, runs, revision,
           result_hash, traceparent
      FROM r
     ORDER BY task_id
        ON CONFLICT (task_id) DO UPDATE
       SET status = excluded.status, result = excluded.result, error = excluded.error, started_at = excluded.started_at,
           completed_at = excluded.completed_at, synced_at = excluded.synced_at, run_id = excluded.run_id,
           runs = excluded.runs, revision = excluded.revision, result_hash = excluded.result_hash,
           worker_name = excluded.worker_name
     WHERE array_position(ARRAY['pending', 'failure', 'success'], excluded.status::text)
               > array_position(ARRAY['pending', 'failure', 'success'], t.status::text)
        OR (excluded.status = t.status AND excluded.id = t.id AND excluded.revision > t.revision))
INSERT INTO tasks.task_history (id, task_id, event_type, event_data, timestamp)
SELECT md5(task_id || ':queued')::uuid AS event, task_id, 'queued', NULL::jsonb, queued_at
  FROM r
 WHERE queued_at IS NOT NULL
 UNION ALL
SELECT md5(run_id || ':started')::uuid, task_id, 'started', jsonb_build_object('run_id', run_id), started_at
  FROM r
 WHERE run_id IS NOT NULL
 UNION ALL
SELECT md5(run_id || CASE status WHEN 'success' THEN ':completed' ELSE ':failed' END)::uuid, task_id,
       CASE status WHEN 'success' THEN 'completed' ELSE 'failed' END,
       jsonb_strip_nulls(jsonb_build_object('run_id', run_id, 'status', status, 'result_hash', result_hash, 'error', error)),
       completed_at
  FROM r
 WHERE status <> 'pending' AND run_id IS NOT NULL
 ORDER BY event
    ON CONFLICT (id) DO NOTHING
"""
_WRITE_EVENTS = """
INSERT INTO tasks.task_history (id, task_id, event_type, event_data, timestamp)
SELECT id, task_id, event_type, event_data::jsonb, timestamp
  FROM json_to_recordset(%s::json) AS u (id uuid, task_id text, event_type text, event_data text, timestamp timestamp)
 ORDER BY id
    ON CONFLICT (id) DO NOTHING
"""
_QUARANTINE = """
INSERT INTO tasks.quarantine (worker_name, row_id, task_id, task_name, status, revision, reason, quarantined_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
    ON CONFLICT (worker_name, row_id) DO UPDATE
   SET revision = excluded.revision, reason = excluded.reason, quarantined_at = excluded.quarantined_at, released_at = NULL
"""
# What a later run has mended.
_RELEASE = """
UPDATE tasks.quarantine AS q
   SET released_at = %s
 WHERE released_at IS NULL AND worker_name = %s
   AND EXISTS (SELECT FROM tasks.task_results AS t WHERE t.task_id = q.task_id AND t.revision > q.revision)
"""
# Days that each table keeps; one without a setting of its own follows the results'.
_RETENTION = """
SELECT coalesce(max((value #>> '{}')::float8) FILTER (WHERE key = 'tasks.retention_days'), 0),
       max((value #>> '{}')::float8) FILTER (WHERE key = 'tasks.history_days')
  FROM public.settings
 WHERE key IN ('tasks.retention_days', 'tasks.history_days')
"""
# In bites, so that no statement comes near the role's time limit, each through an index. What began so long ago and has no end
# went with its subject.
_DROPS = {
    "results": """
        DELETE FROM tasks.task_results
         WHERE ctid = ANY(ARRAY(SELECT ctid
                                  FROM tasks.task_results
                                 WHERE completed_at < %(before)s
                                 LIMIT 2000))
        """,
    "pending": """
        DELETE FROM tasks.task_results
         WHERE ctid = ANY(ARRAY(SELECT ctid
                                  FROM tasks.task_results
                                 WHERE status = 'pending' AND started_at < %(before)s
                                 LIMIT 2000))
        """,
    "history": """
        DELETE FROM tasks.task_history
         WHERE ctid = ANY(ARRAY(SELECT ctid
                                  FROM tasks.task_history
                                 WHERE timestamp < %(before)s
                                 LIMIT 2000))
        """,
}
_BITE = 2000
_INSERTED = "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"
_FLUSHED = "SELECT pg_current_wal_flush_lsn() - '0/0'::pg_lsn"
_MARK_LOG = "SELECT pg_logical_emit_message(true, 'eco2', 'synced')"
# Seconds after which the log is asked to be written at once: three of PostgreSQL's own rounds.
PATIENCE = 0.6


class Records:
    """`tasks` as one worker's syncer reaches it, over as many connections as are in use at once. Thread-safe."""

    def __init__(self, worker: str, dsn: str, reach: Callable[[str], None]) -> None:
        self.worker = worker
        self._reach = reach
        self._dsn = dsn
        self._free: list[psycopg.Connection[Any]] = []

    def put(self, batch: Batch) -> int:
        """Write a batch of tasks with the events that follow from it, in one statement; return its place in the log."""
        with self._connection() as conn:
            self._reach("connected")
            conn.execute(_WRITE, [batch.rows, self.worker, clock.now()], prepare=True)
            return _place(conn)

    def put_events(self, batch: Batch) -> int:
        """Write events of runs that a later one replaced; return their place in the log."""
        with self._connection() as conn:
            conn.execute(_WRITE_EVENTS, [batch.rows], prepare=True)
            return _place(conn)

    def flushed(self) -> int:
        """Up to which place PostgreSQL's log is on the disk."""
        with self._connection() as conn:
            return _number(conn, _FLUSHED)

    def flush(self, place: int) -> None:
        """Wait until the log is on the disk up to this place: PostgreSQL writes it a few times a second anyway."""
        end = time.monotonic() + PATIENCE
        while self.flushed() < place:
            if time.monotonic() > end:
                with self._connection() as conn, conn.transaction():
                    conn.execute("SET LOCAL synchronous_commit = on")
                    conn.execute(_MARK_LOG)
            time.sleep(0.02)

    def quarantine(self, names: Names, reason: str) -> None:
        """Name a refused row and its reason, for an operator."""
        id_, task_id, name, status = (
            _plain(value) for value in (names.id, names.task_id, names.task_name, names.status)
        )
        revision = names.revision if isinstance(names.revision, int) else 0
        with self._connection() as conn:
            conn.execute(_QUARANTINE, [self.worker, id_, task_id, name, status, revision, reason, clock.now()])
        log.error("row %s of task %s is in quarantine: %s", id_, task_id, reason)

    def retain(self, seconds: float) -> bool:
        """Delete what is older than the settings `tasks.retention_days` and `tasks.history_days` say; return whether all is gone.

        After `seconds` it is left for the next time: the rows that wait to be synced come first. What is quarantined no longer
        leaves the list.
        """
        end = time.monotonic() + seconds
        with self._connection() as conn:
            conn.execute(_RELEASE, [clock.now(), self.worker])
            row = conn.execute(_RETENTION).fetchone()
            results, history = row if row else (0.0, None)
            days = {"results": results, "pending": results, "history": results if history is None else history}
            left = [(name, {"before": clock.now() - timedelta(days=kept)}) for name, kept in days.items() if kept > 0]
            # In turn, so that no table waits for another's backlog.
            while left and time.monotonic() < end:
                left = [(name, values) for name, values in left if conn.execute(_DROPS[name], values).rowcount == _BITE]
            return not left

    def disconnect(self) -> None:
        """Close what is open and not in use; the next write connects again."""
        while self._free:
            self._free.pop().close()

    @contextlib.contextmanager
    def _connection(self) -> Iterator[psycopg.Connection[Any]]:
        try:
            conn = self._free.pop()
        except IndexError:
            conn = pg.connect(self._dsn, f"eco2-syncer-{self.worker}")
            conn.execute("SET synchronous_commit = off")
        try:
            yield conn
        finally:
            if conn.closed:
                conn.close()
            else:
                self._free.append(conn)


def _place(conn: psycopg.Connection[Any]) -> int:
    return _number(conn, _INSERTED)


def _number(conn: psycopg.Connection[Any], query: str) -> int:
    row = conn.execute(query, prepare=True).fetchone()
    assert row is not None, "a function's result is one row"
    return int(row[0])


def reason(error: Exception) -> str:
    """Why a row was refused, in one line of at most 500 characters."""
    state = getattr(error, "sqlstate", None)
    return f"{state + ': ' if state else ''}{str(error).splitlines()[0] if str(error) else type(error).__name__}"[:500]


def _plain(value: bytes | None) -> str:
    # Short, because the first is a key: PostgreSQL refuses index entries above 2,704 bytes.
    return "" if value is None else value.decode("utf-8", "replace").replace("\x00", "\N{REPLACEMENT CHARACTER}")[:300]
