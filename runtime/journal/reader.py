"""The syncer's side of a journal's file: what waits there, read in batches and as one JSON text each.

SQLite makes the text and PostgreSQL takes it apart again, so a row costs Python next to nothing: reading 200,000 rows value by
value took six times the CPU of it (`make bench`, drain). Every read is one statement, whose transaction ends with it: no
reader holds the file while PostgreSQL is waited for.
"""

import contextlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from runtime.journal import schema
from runtime.journal.file import Lock, open_file, since

_BATCH = """
SELECT json_group_object(rowid, revision),
       json_group_array(json_object(
           'id', id, 'task_id', task_id, 'task_name', task_name, 'status', status, 'result', result, 'error', error,
           'started_at', started_at, 'completed_at', completed_at, 'run_id', run_id, 'runs', runs, 'revision', revision,
           'result_hash', result_hash, 'traceparent', traceparent, 'queued_at', queued_at))
  FROM (SELECT rowid, *
          FROM local_tasks
         WHERE synced_to_pg = 0 AND quarantine IS NULL AND rowid > ? AND rowid <= ?
         ORDER BY rowid
         LIMIT ?)
"""
_EVENTS = """
SELECT json_group_object(rowid, 0),
       json_group_array(json_object(
           'id', id, 'task_id', task_id, 'event_type', event_type, 'event_data', event_data, 'timestamp', timestamp))
  FROM (SELECT rowid, *
          FROM local_events
         WHERE synced_to_pg = 0 AND rowid > ? AND rowid <= ?
         ORDER BY rowid
         LIMIT ?)
"""
_SIZE = """
SELECT total(length(CAST(result AS BLOB)))
  FROM (SELECT result
          FROM local_tasks
         WHERE synced_to_pg = 0 AND quarantine IS NULL AND rowid > ? AND rowid <= ?
         ORDER BY rowid
         LIMIT ?)
"""
_ROWIDS = """
SELECT rowid
  FROM local_tasks
 WHERE synced_to_pg = 0 AND quarantine IS NULL AND rowid > ? AND rowid <= ?
 ORDER BY rowid
 LIMIT ?
"""
_EVENT_ROWIDS = "SELECT rowid FROM local_events WHERE synced_to_pg = 0 AND rowid > ? ORDER BY rowid LIMIT ?"
# As bytes: of a row that is refused nothing is known to be text.
_NAMES = """
SELECT CAST(id AS BLOB), CAST(task_id AS BLOB), CAST(task_name AS BLOB), CAST(status AS BLOB), revision
  FROM local_tasks
 WHERE rowid = ?
"""
_EVENT_NAMES = """
SELECT CAST(id AS BLOB), CAST(task_id AS BLOB), CAST('event ' || event_type AS BLOB), NULL, 0
  FROM local_events
 WHERE rowid = ?
"""
_BACKLOG = """
SELECT count(*) FILTER (WHERE quarantine IS NULL),
       min(changed_at) FILTER (WHERE quarantine IS NULL AND changed_at GLOB '[0-9][0-9][0-9][0-9]-*'),
       count(*) FILTER (WHERE quarantine IS NOT NULL),
       (SELECT count(*) FROM local_events WHERE synced_to_pg = -1)
  FROM local_tasks
 WHERE synced_to_pg = 0
"""
# Rows that may go, by why they may; each looked at before anything is written, so that an idle syncer asks no one.
SYNCED = "SELECT rowid FROM local_tasks WHERE synced_to_pg = 1 AND completed_at < ? LIMIT 500"
SYNCED_EVENTS = "SELECT rowid FROM local_events WHERE synced_to_pg = 1 AND timestamp < ? LIMIT 500"
# Never ended and never will: forgotten by its owner, or ended by another worker.
STALE = "SELECT rowid FROM local_tasks WHERE status = 'pending' AND synced_to_pg = 1 AND changed_at < ? LIMIT 500"


class Unreadable(ValueError):
    """A row among those that were asked for is not text, or has a revision that is not a number."""


class Batch(Struct, frozen=True):
    """Rows as they were read: the revision of each by its rowid, ascending, and all of them as one JSON array of objects."""

    revisions: dict[int, int]
    rows: str

    @property
    def rowids(self) -> list[int]:
        return list(self.revisions)


class Names(Struct, frozen=True):
    """What is known of a row that PostgreSQL refuses; bytes, because nothing says that it is text."""

    id: bytes | None
    task_id: bytes | None
    task_name: bytes | None
    status: bytes | None
    revision: Any


class Backlog(Struct, frozen=True):
    """What waits: rows, and the age of the oldest in seconds; rows in quarantine."""

    rows: int
    oldest: float
    quarantined: int


class Reader:
    """Reads one journal's file, whichever lies at its path. Not thread-safe.

    Attributes:
        file_id: of the file that was read last. Another one has rows of other tasks under the same numbers.
    """

    def __init__(self, path: Path, lock: Lock) -> None:
        self.path = path
        self.file_id: str | None = None
        self._lock = lock
        self._db: sqlite3.Connection | None = None
        self._inode = 0

    def is_ready(self) -> bool:
        """Whether the worker has made the file and its tables; the syncer may start first, and makes nothing.

        Raises:
            schema.NewerFile: a newer worker has made it.
        """
        if not self.path.exists() or not self.path.stat().st_size:
            return False
        if self._db is not None and self.path.stat().st_ino != self._inode:
            # The worker set a damaged file aside: this one's rows are another's.
            self.close()
        return schema.version(self._connection()) > 1

    def last_rowid(self) -> int:
        return int(self._connection().execute("SELECT max(rowid) FROM local_tasks").fetchone()[0] or 0)

    def size(self, after: int, upto: int, limit: int) -> int:
        """Bytes of results in the next `limit` rows."""
        return int(self._connection().execute(_SIZE, [after, upto, limit]).fetchone()[0])

    def batch(self, after: int, upto: int, limit: int) -> Batch:
        """The next rows that wait, in the order of their rowids.

        Raises:
            Unreadable: `rowids` tells them apart.
        """
        return self._read(_BATCH, after, upto, limit)

    def events(self, after: int, upto: int, limit: int) -> Batch:
        """The next events of replaced runs that wait; their revisions are 0."""
        return self._read(_EVENTS, after, upto, limit)

    def rowids(self, after: int, upto: int, limit: int) -> list[int]:
        return [row[0] for row in self._connection().execute(_ROWIDS, [after, upto, limit])]

    def event_rowids(self, after: int, limit: int) -> list[int]:
        return [row[0] for row in self._connection().execute(_EVENT_ROWIDS, [after, limit])]

    def names(self, rowid: int) -> Names | None:
        row = self._connection().execute(_NAMES, [rowid]).fetchone()
        return row and Names(*row)

    def event_names(self, rowid: int) -> Names | None:
        row = self._connection().execute(_EVENT_NAMES, [rowid]).fetchone()
        return row and Names(*row)

    def removable(self, query: str, before: str) -> list[int]:
        """Rowids of up to 500 rows that may go: `query` is SYNCED, SYNCED_EVENTS or STALE."""
        return [row[0] for row in self._connection().execute(query, [before])]

    def backlog(self) -> Backlog:
        """What waits now; nothing where the worker has not made the file yet."""
        if not self.is_ready():
            return Backlog(0, 0.0, 0)
        rows, oldest, quarantined, events = self._connection().execute(_BACKLOG).fetchone()
        age = 0.0
        # A row whose time is none is for the quarantine, and must not stop who counts.
        with contextlib.suppress(ValueError, TypeError):
            age = max(0.0, since(oldest)) if oldest else 0.0
        return Backlog(rows, age, quarantined + events)

    def close(self) -> None:
        """Let the file go; the next read opens it again."""
        if self._db is not None:
            # The last one to close checkpoints: inside the lock like every checkpoint.
            with self._lock:
                self._db.close()
            self._db = None

    def _connection(self) -> sqlite3.Connection:
        if self._db is None:
            self._db = open_file(self.path)
            self._db.execute("PRAGMA query_only=ON")
            self._inode = self.path.stat().st_ino
            self.file_id = None
            # A file that is being made has no such table yet.
            with contextlib.suppress(sqlite3.OperationalError):
                row = self._db.execute("SELECT value FROM meta WHERE key = 'file_id'").fetchone()
                self.file_id = row and str(row[0])
        return self._db

    def _read(self, query: str, *values: int) -> Batch:
        try:
            revisions, rows = self._connection().execute(query, values).fetchone()
            found = msgspec.json.decode(revisions, type=dict[int, int])
        except sqlite3.OperationalError as error:
            # The errors here that are a row's own, and they have no code to know them by.
            if "UTF-8" in str(error) or "BLOB" in str(error):
                raise Unreadable(str(error)) from None
            raise
        except msgspec.ValidationError as error:
            raise Unreadable(f"a revision is no number: {error}") from None
        return Batch({rowid: found[rowid] for rowid in sorted(found)}, rows)


def by_revision(rowids: Sequence[int], revisions: dict[int, int]) -> list[tuple[int, list[int]]]:
    """Rowids in lists of the same revision: as a rule one or two lists."""
    lists: dict[int, list[int]] = {}
    for rowid in rowids:
        lists.setdefault(revisions[rowid], []).append(rowid)
    return list(lists.items())
