"""Drains a worker's journal into `tasks.task_results` and `tasks.task_history`, beside the worker.

A cycle reads a batch (SQLite puts each column into one text, so a row costs Python next to nothing), ends its read, sends
one idempotent statement, and then marks those rows whose revision is unchanged. States only rise, history events have ids
made from their runs, and both tables are written in the order of their keys: any number of syncers may send overlapping
rows, in any order, again and again.

"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
from msgspec import Struct

from runtime import pg
from runtime.journal import journal as journals
from runtime.journal import server as journal_server
from shared import clock

log = logging.getLogger("eco2.syncer")

# Rows a statement: 1,000 rows of 500 bytes cross in half a megabyte, and a poison row is found in ten halvings.
BATCH = 1000
# Bytes of results a statement, but for a single larger row: a batch is copied some ten times on its way, and memory stays flat.
BATCH_BYTES = 2 << 20
# Rows marked in one transaction.
MARK = 1000
# While the worker writes too, on the same processors and the same disk, it comes first: its commits wait at most for a small
# statement's WAL and a few marks, and the syncer pauses after each batch for so many times what the batch took.
BESIDE = 200
BESIDE_MARK = 50
PATIENCE = 3.0
# Synced rows stay so long in the journal.
KEPT = timedelta(days=7)
# Statements under way at once, each on a connection of its own: worker_role's pool of service.toml.
LANES = 2

# How a column leaves SQLite: one text of all its values, which Python turns into a PostgreSQL array at the speed of memory.
_BETWEEN, _NULL = "\x1f", "\x1e"
_COLUMNS = (
    "id", "task_id", "task_name", "status", "result", "error", "started_at", "completed_at",
    "run_id", "runs", "revision", "result_hash", "traceparent", "queued_at",
)  # fmt: skip
_EVENT_COLUMNS = ("id", "task_id", "event_type", "event_data", "timestamp")


def _select(table: str, columns: Sequence[str], revision: str, where: str) -> str:
    texts = ", ".join(f"group_concat(coalesce({column}, char(30)), char(31))" for column in columns)
    inner = ", ".join(columns)
    # Constant text: no value of a row is ever part of a statement.
    return (
        f"SELECT group_concat(rowid), group_concat({revision}), {texts} FROM"  # noqa: S608
        f" (SELECT rowid, {inner} FROM {table} WHERE {where} AND rowid > ? AND rowid <= ? ORDER BY rowid LIMIT ?)"
    )


class _Misaligned(ValueError):
    """A value holds the character that stands between values."""


def _array(text: str, count: int) -> str:
    if text.count(_BETWEEN) != count - 1:
        raise _Misaligned("a text holds U+001F")
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace(_BETWEEN, '","')
    return f'{{"{escaped}"}}'.replace(f'"{_NULL}"', "NULL")


_READ = _select("local_tasks", _COLUMNS, "revision", "synced_to_pg = 0 AND quarantine IS NULL")
_READ_EVENTS = _select("local_events", _EVENT_COLUMNS, "0", "synced_to_pg = 0")

_SIZE = (
    "SELECT total(length(CAST(result AS BLOB))) FROM (SELECT result FROM local_tasks WHERE synced_to_pg = 0"
    " AND quarantine IS NULL AND rowid > ? AND rowid <= ? ORDER BY rowid LIMIT ?)"
)
_PRUNABLE = {
    "local_tasks": "SELECT rowid FROM local_tasks WHERE synced_to_pg = 1 AND completed_at < ? LIMIT 500",
    "local_events": "SELECT rowid FROM local_events WHERE synced_to_pg = 1 AND timestamp < ? LIMIT 500",
}
# Never ended and never will: forgotten by its owner, or ended by another worker.
_STALE = "SELECT rowid FROM local_tasks WHERE status = 'pending' AND synced_to_pg = 1 AND changed_at < ? LIMIT 500"

# The main query runs first and the tasks after it, in every syncer alike, and each in the order of its key: no deadlock.
_WRITE = """
WITH r AS MATERIALIZED (
    SELECT id::uuid, task_id, task_name, status, result::jsonb, error, started_at::timestamp, completed_at::timestamp,
        run_id::uuid, runs::integer, revision::bigint, result_hash, traceparent, queued_at::timestamp
    FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[],
        %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[])
        AS u (id, task_id, task_name, status, result, error, started_at, completed_at, run_id, runs, revision,
            result_hash, traceparent, queued_at)),
put AS (
    INSERT INTO tasks.task_results AS t (id, task_id, task_name, worker_name, status, result, error, started_at,
        completed_at, synced_at, run_id, runs, revision, result_hash, traceparent)
    SELECT id, task_id, task_name, %s, status, result, error, started_at, completed_at, %s, run_id, runs, revision,
        result_hash, traceparent FROM r ORDER BY task_id
    ON CONFLICT (task_id) DO UPDATE SET status = excluded.status, result = excluded.result, error = excluded.error,
        started_at = excluded.started_at, completed_at = excluded.completed_at, synced_at = excluded.synced_at,
        run_id = excluded.run_id, runs = excluded.runs, revision = excluded.revision,
        result_hash = excluded.result_hash, worker_name = excluded.worker_name
    WHERE array_position(ARRAY['pending', 'failure', 'success'], excluded.status::text)
            > array_position(ARRAY['pending', 'failure', 'success'], t.status::text)
        OR (excluded.status = t.status AND excluded.id = t.id AND excluded.revision > t.revision))
INSERT INTO tasks.task_history (id, task_id, event_type, event_data, timestamp)
SELECT md5(task_id || ':queued')::uuid AS event, task_id, 'queued', NULL::jsonb, queued_at FROM r
    WHERE queued_at IS NOT NULL
UNION ALL
SELECT md5(run_id || ':started')::uuid, task_id, 'started', jsonb_build_object('run_id', run_id), started_at FROM r
    WHERE run_id IS NOT NULL
UNION ALL
SELECT md5(run_id || CASE status WHEN 'success' THEN ':completed' ELSE ':failed' END)::uuid, task_id,
    CASE status WHEN 'success' THEN 'completed' ELSE 'failed' END,
    jsonb_strip_nulls(jsonb_build_object('run_id', run_id, 'status', status, 'result_hash', result_hash, 'error', error)),
    completed_at FROM r WHERE status <> 'pending' AND run_id IS NOT NULL
ORDER BY event ON CONFLICT (id) DO NOTHING
"""
_WRITE_EVENTS = """
INSERT INTO tasks.task_history (id, task_id, event_type, event_data, timestamp)
SELECT id::uuid, task_id, event_type, event_data::jsonb, timestamp::timestamp
FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[]) AS u (id, task_id, event_type, event_data, timestamp)
ORDER BY id ON CONFLICT (id) DO NOTHING
"""
# What one row can be refused for, as opposed to a server that is away. ValueError: a revision that is no number.
_REFUSED = (
    psycopg.DataError,
    psycopg.IntegrityError,
    ValueError,
    psycopg.errors.StatementTooComplex,
    psycopg.errors.ProgramLimitExceeded,
)


class Rows(Struct, frozen=True):
    """A batch as it was read: parallel lists of rowids and revisions, and each column as one text."""

    rowids: list[int]
    revisions: list[int]
    columns: list[str] | list[list[str | None]]

    def arrays(self) -> list[Any]:
        """The columns as PostgreSQL arrays."""
        return [_array(column, len(self.rowids)) if isinstance(column, str) else column for column in self.columns]


class Cycle(Struct):
    """What one cycle did."""

    synced: int = 0
    quarantined: int = 0
    changed: int = 0  # rows that were updated between read and mark; the next cycle has them
    events: int = 0
    pruned: int = 0


class Backlog(Struct, frozen=True):
    """What waits: rows, and the age of the oldest in seconds; rows in quarantine."""

    rows: int
    oldest: float
    quarantined: int


class Syncer:
    """Drains one journal under one role. Not thread-safe; make it after a fork, not before."""

    def __init__(self, worker: str, path: Path, dsn: str, *, batch: int = BATCH) -> None:
        self.worker = worker
        self.path = path
        self.trouble = ""
        self.cycles = self.synced = self.quarantined = 0
        self._dsn = dsn
        self._batch = self._limit = batch
        self._beside = True  # until it is seen that the worker is idle
        self._lock = journals.Lock(path)
        self._worker = journal_server.Client(path)
        self._reader: sqlite3.Connection | None = None
        self._writer: sqlite3.Connection | None = None
        self._inode = 0
        self._file: str | None = None
        self._free: list[psycopg.Connection[Any]] = []
        self._lanes = ThreadPoolExecutor(LANES, "to-postgres")

    def close(self) -> None:
        self._lanes.shutdown()
        self._drop_files()
        self._disconnect()
        self._lock.close()

    # SQLite

    def _read_connection(self) -> sqlite3.Connection:
        if self._reader is None:
            self._reader = journals.connect(self.path)
            self._reader.execute("PRAGMA query_only=ON")
            self._inode = self.path.stat().st_ino
            row = self._reader.execute("SELECT value FROM meta WHERE key = 'file_id'").fetchone()
            self._file = row and str(row[0])
        return self._reader

    def _drop_files(self) -> None:
        # The last one to close checkpoints: inside the lock like every checkpoint.
        with self._lock:
            for connection in (self._reader, self._writer):
                if connection is not None:
                    connection.close()
        self._reader = self._writer = None
        self._worker.close()

    def _read(self, query: str, after: int, upto: int, limit: int) -> Rows:
        # One statement: the read transaction ends with it, so no reader stands while PostgreSQL is waited for.
        try:
            row = self._read_connection().execute(query, [after, upto, limit]).fetchone()
        except sqlite3.OperationalError as error:
            # The one error here that is a row's own, and it has no code to know it by.
            if "UTF-8" in str(error):
                raise UnicodeError(str(error)) from None
            raise
        if row is None or row[0] is None:
            return Rows([], [], [])
        return Rows([int(x) for x in row[0].split(",")], [int(x) for x in row[1].split(",")], list(row[2:]))

    def _write(self, name: str, *arguments: Any) -> int:
        """Have the worker write, or write where there is none: an operation of `runtime.journal.server`, on this very file."""
        answer = self._worker.ask(name, self._file, *arguments)
        if answer is not None:
            return answer
        with self._lock:
            if self._writer is None:
                self._writer = journals.connect(self.path)
                # A mark that the power takes away is made again: the statement is idempotent.
                self._writer.execute("PRAGMA synchronous=NORMAL")
            db = self._writer
            # Never a read that becomes a write: that fails at once with SQLITE_BUSY_SNAPSHOT.
            db.execute("BEGIN IMMEDIATE")
            try:
                changed = journal_server.OPERATIONS[name](db, self._file, *arguments)
                db.execute("COMMIT")
            except BaseException:  # raised again
                with contextlib.suppress(sqlite3.Error):
                    db.execute("ROLLBACK")
                raise
            return changed

    def _mark(self, rows: Rows) -> int:
        marked = 0
        size = BESIDE_MARK if self._beside else MARK
        for start in range(0, len(rows.rowids), size):
            revisions: dict[int, list[int]] = {}
            for rowid, revision in zip(
                rows.rowids[start : start + size], rows.revisions[start : start + size], strict=True
            ):
                revisions.setdefault(revision, []).append(rowid)
            marked += self._write("mark", list(revisions.items()))
        return marked

    def backlog(self) -> Backlog:
        """What waits now; nothing where the worker has not made the file yet."""
        if not self._ready():
            return Backlog(0, 0.0, 0)
        rows, oldest, quarantined, events = (
            self._read_connection()
            .execute(
                "SELECT count(*) FILTER (WHERE quarantine IS NULL), min(changed_at) FILTER (WHERE quarantine IS NULL"
                " AND changed_at GLOB '[0-9][0-9][0-9][0-9]-*'), count(*) FILTER (WHERE quarantine IS NOT NULL),"
                " (SELECT count(*) FROM local_events WHERE synced_to_pg = -1) FROM local_tasks WHERE synced_to_pg = 0"
            )
            .fetchone()
        )
        age = 0.0
        # A row whose time is none is for the quarantine, and must not stop who counts.
        with contextlib.suppress(ValueError, TypeError):
            age = max(0.0, journals.since(oldest)) if oldest else 0.0
        return Backlog(rows, age, quarantined + events)

    # PostgreSQL

    @contextlib.contextmanager
    def _connection(self) -> Iterator[psycopg.Connection[Any]]:
        try:
            conn = self._free.pop()
        except IndexError:
            conn = pg.connect(self._dsn, f"eco2-syncer-{self.worker}")
        try:
            yield conn
        finally:
            if conn.closed:
                conn.close()
            else:
                self._free.append(conn)

    def _disconnect(self) -> None:
        while self._free:
            self._free.pop().close()

    def _put(self, rows: Rows) -> None:
        arrays = rows.arrays()
        reach("read")
        with self._connection() as conn:
            reach("connected")
            conn.execute(_WRITE, [*arrays, self.worker, clock.now()], prepare=True)

    def _put_events(self, rows: Rows) -> None:
        arrays = rows.arrays()
        with self._connection() as conn:
            conn.execute(_WRITE_EVENTS, arrays, prepare=True)

    def retain(self) -> int:
        """Delete from `tasks` what ended longer ago than the setting `tasks.retention_days` says; return how many tasks.

        What began so long ago and has no end went with its subject. What is quarantined no longer leaves the list.
        """
        if self._ready():
            self._drop("local_tasks", _STALE)
        with self._connection() as conn:
            conn.execute(
                "UPDATE tasks.quarantine AS q SET released_at = %s WHERE released_at IS NULL AND worker_name = %s AND EXISTS"
                " (SELECT FROM tasks.task_results AS t WHERE t.task_id = q.task_id AND t.revision > q.revision)",
                [clock.now(), self.worker],
            )
            row = conn.execute("SELECT value FROM public.settings WHERE key = 'tasks.retention_days'").fetchone()
            days = float(row[0]) if row else 0.0
            if days <= 0:
                return 0
            before = clock.now() - timedelta(days=days)
            gone = 0
            while True:
                # In bites, so that no statement comes near the role's time limit.
                count = conn.execute(
                    "DELETE FROM tasks.task_results WHERE id IN (SELECT id FROM tasks.task_results WHERE completed_at < %s"
                    " OR (status = 'pending' AND started_at < %s) LIMIT 2000)",
                    [before, before],
                ).rowcount
                events = conn.execute(
                    "DELETE FROM tasks.task_history WHERE id IN (SELECT id FROM tasks.task_history WHERE timestamp < %s"
                    " LIMIT 5000)",
                    [before],
                ).rowcount
                gone += count
                if count < 2000 and events < 5000:
                    return gone

    # A cycle

    def cycle(self) -> Cycle:
        """Drain what waits now.

        Raises:
            psycopg.Error: PostgreSQL is away; what was marked until then stays marked.
            sqlite3.Error: the journal can't be read or marked.
        """
        done = Cycle()
        try:
            if not self._ready():
                return done
            self._drain_tasks(done)
            self._drain_events(done)
            done.pruned = self._prune()
        except psycopg.Error:
            self._disconnect()
            raise
        except sqlite3.Error:
            self._drop_files()
            raise
        finally:
            self.synced += done.synced
            self.quarantined += done.quarantined
        self.cycles += 1
        return done

    def _ready(self) -> bool:
        """Whether the worker has made the file and its tables; the syncer may start first, and makes nothing."""
        if not self.path.exists() or not self.path.stat().st_size:
            return False
        if self._reader is not None and self.path.stat().st_ino != self._inode:
            # The worker set a damaged file aside: this one's rows are another's.
            self._drop_files()
        return int(self._read_connection().execute("PRAGMA user_version").fetchone()[0]) > 1

    def _drain_tasks(self, done: Cycle) -> None:
        # Rows that change while the cycle runs keep their rowid: without an end it would never be done with a busy worker.
        last = self._read_connection().execute("SELECT max(rowid) FROM local_tasks").fetchone()[0] or 0
        after = 0
        under_way: deque[tuple[Rows, Future[None]]] = deque()
        try:
            while True:
                begun, activity = time.monotonic(), self._worker.activity
                try:
                    limit = self._fitting(after, last)
                    rows = self._read(_READ, after, last, min(limit, BESIDE) if self._beside else limit)
                except ValueError:
                    # Not even readable as text: find out row by row which.
                    after = self._drain_unreadable(after, last, done)
                    continue
                if not rows.rowids:
                    break
                after = rows.rowids[-1]
                under_way.append((rows, self._lanes.submit(self._put, rows)))
                # This thread reads and marks while PostgreSQL works on the others.
                while len(under_way) >= (1 if self._beside else LANES):
                    self._put_down(*under_way.popleft(), done)
                self._beside = self._worker.activity != activity
                if self._beside:
                    time.sleep(PATIENCE * (time.monotonic() - begun))
            while under_way:
                self._put_down(*under_way.popleft(), done)
        finally:
            wait(future for _, future in under_way)

    def _fitting(self, after: int, last: int) -> int:
        """How many of the next rows a batch may hold for its size in bytes: at least one."""
        while self._limit > 1:
            (size,) = self._read_connection().execute(_SIZE, [after, last, self._limit]).fetchone()
            if size <= BATCH_BYTES:
                break
            self._limit //= 2
        limit, self._limit = self._limit, min(self._batch, self._limit * 2)
        return limit

    def _put_down(self, rows: Rows, put: Future[None], done: Cycle) -> None:
        try:
            put.result()
        except _REFUSED:
            self._halve(rows.rowids, done)
        else:
            self._note(rows, done)

    def _note(self, rows: Rows, done: Cycle) -> None:
        reach("committed")
        marked = self._mark(rows)
        done.synced += marked
        done.changed += len(rows.rowids) - marked
        reach("marked")

    def _halve(self, rowids: list[int], done: Cycle) -> None:
        """Send a refused batch in halves until the refused rows stand alone."""
        middle = len(rowids) // 2
        for half in (rowids[:middle], rowids[middle:]) if middle else (rowids,):
            try:
                rows = self._read(_READ, half[0] - 1, half[-1], len(half)) if len(half) > 1 else self._read_one(half[0])
                if rows.rowids:
                    self._put(rows)
                    self._note(rows, done)
            except _REFUSED as error:
                if len(half) > 1:
                    self._halve(half, done)
                else:
                    self._quarantine(half[0], _reason(error), done)

    def _read_one(self, rowid: int) -> Rows:
        # By itself and value by value: whatever characters its texts hold, PostgreSQL is asked whether it takes them.
        columns = ", ".join(_COLUMNS)
        try:
            row = (
                self._read_connection()
                .execute(
                    f"SELECT revision, {columns} FROM local_tasks WHERE rowid = ? AND synced_to_pg = 0",  # noqa: S608 - constants
                    [rowid],
                )
                .fetchone()
            )
        except sqlite3.OperationalError as error:
            if "UTF-8" in str(error):
                raise UnicodeError(str(error)) from None
            raise
        if row is None:
            return Rows([], [], [])
        return Rows([rowid], [int(row[0])], [[None if value is None else str(value)] for value in row[1:]])

    def _drain_unreadable(self, after: int, last: int, done: Cycle) -> int:
        rowids = [
            row[0]
            for row in self._read_connection().execute(
                "SELECT rowid FROM local_tasks WHERE synced_to_pg = 0 AND quarantine IS NULL AND rowid > ? AND rowid <= ?"
                " ORDER BY rowid LIMIT ?",
                [after, last, self._batch],
            )
        ]
        self._halve(rowids, done)
        return int(rowids[-1])

    def _quarantine(self, rowid: int, reason: str, done: Cycle) -> None:
        row = (
            self._read_connection()
            .execute(
                "SELECT CAST(id AS BLOB), CAST(task_id AS BLOB), CAST(task_name AS BLOB), CAST(status AS BLOB), revision"
                " FROM local_tasks WHERE rowid = ?",
                [rowid],
            )
            .fetchone()
        )
        if row is not None:
            self._enter_quarantine(row[:4], row[4], reason)
            self._write("quarantine", rowid, row[4], reason)
            done.quarantined += 1

    def _enter_quarantine(self, names: Sequence[bytes | None], revision: Any, reason: str) -> None:
        id_, task_id, name, status = (_plain(value) for value in names)
        with self._connection() as conn:
            conn.execute(
                "INSERT INTO tasks.quarantine (worker_name, row_id, task_id, task_name, status, revision, reason,"
                " quarantined_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (worker_name, row_id) DO UPDATE SET"
                " revision = excluded.revision, reason = excluded.reason, quarantined_at = excluded.quarantined_at,"
                " released_at = NULL",
                [
                    self.worker,
                    id_,
                    task_id,
                    name,
                    status,
                    revision if isinstance(revision, int) else 0,
                    reason,
                    clock.now(),
                ],
            )
        log.error("row %s of task %s is in quarantine: %s", id_, task_id, reason)

    def _drain_events(self, done: Cycle) -> None:
        after = 0
        while rowids := [
            row[0]
            for row in self._read_connection().execute(
                "SELECT rowid FROM local_events WHERE synced_to_pg = 0 AND rowid > ? ORDER BY rowid LIMIT ?",
                [after, self._batch],
            )
        ]:
            after = rowids[-1]
            self._send_events(rowids, done)

    def _send_events(self, rowids: list[int], done: Cycle) -> None:
        """Send these; those that PostgreSQL refuses are found by halving, as rows are."""
        try:
            rows = self._read(_READ_EVENTS, rowids[0] - 1, rowids[-1], len(rowids))
            if rows.rowids:
                self._put_events(rows)
                done.events += self._write("mark_events", 1, rows.rowids)
        except _REFUSED as error:
            if middle := len(rowids) // 2:
                self._send_events(rowids[:middle], done)
                self._send_events(rowids[middle:], done)
                return
            row = (
                self._read_connection()
                .execute(
                    "SELECT CAST(id AS BLOB), CAST(task_id AS BLOB), CAST('event ' || event_type AS BLOB)"
                    " FROM local_events WHERE rowid = ?",
                    rowids,
                )
                .fetchone()
            )
            self._enter_quarantine([*row, None], 0, _reason(error))
            self._write("mark_events", -1, rowids)
            done.quarantined += 1

    def _prune(self) -> int:
        return sum(self._drop(table, query) for table, query in _PRUNABLE.items())

    def _drop(self, table: str, query: str) -> int:
        # Looked at before it is written: an idle syncer asks nobody for anything.
        before = (clock.now() - KEPT).isoformat()
        dropped = 0
        while rowids := [row[0] for row in self._read_connection().execute(query, [before])]:
            count = self._write("drop", table, rowids)
            if not count:
                break
            dropped += count
        return dropped


def _plain(value: bytes | None) -> str:
    # Short, for the first is a key: PostgreSQL refuses index entries above 2,704 bytes.
    return "" if value is None else value.decode("utf-8", "replace").replace("\x00", "\N{REPLACEMENT CHARACTER}")[:300]


def _reason(error: Exception) -> str:
    state = getattr(error, "sqlstate", None)
    return f"{state + ': ' if state else ''}{str(error).splitlines()[0] if str(error) else type(error).__name__}"[:500]


def reach(point: str) -> None:
    """A named point of a cycle's way; tests/faults kills a process at one through `at`."""
    if at is not None:
        at(point)


at: Any = None
