"""The syncer's writes in a journal: done by the worker while one runs, and by the syncer itself, in the lock, where none does."""

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

from runtime.journal import server
from runtime.journal.file import Lock, open_file
from runtime.journal.reader import Reader, by_revision


class Marks:
    """Writes in the file that `reader` has read, or not at all when another one lies there by now. Not thread-safe."""

    def __init__(self, path: Path, lock: Lock, reader: Reader) -> None:
        self._path = path
        self._lock = lock
        self._reader = reader
        self._worker = server.Client(path)
        self._own: sqlite3.Connection | None = None

    @property
    def activity(self) -> int:
        """How much the worker itself had written when it answered last."""
        return self._worker.activity

    @property
    def by_worker(self) -> bool:
        """Whether a worker has done the writing so far."""
        return self._own is None

    def synced(self, revisions: dict[int, int], size: int) -> int:
        """Mark rows (revisions by rowid) whose revision is unchanged, `size` in a transaction; return how many were."""
        rowids = list(revisions)
        return sum(
            self._write("mark", by_revision(rowids[first : first + size], revisions))
            for first in range(0, len(rowids), size)
        )

    def events(self, rowids: list[int], *, refused: bool = False) -> int:
        """Mark events as synced, or as refused by PostgreSQL; return how many were."""
        return self._write("mark_events", -1 if refused else 1, rowids)

    def quarantine(self, rowid: int, revision: Any, reason: str) -> None:
        """Leave a row out of the next cycles, until it changes or is released."""
        self._write("quarantine", rowid, revision, reason)

    def drop(self, table: str, rowids: list[int]) -> int:
        """Delete those of these rows that are still synced; return how many were."""
        return self._write("drop", table, rowids)

    def close(self) -> None:
        """Let the file and the worker go; the next write finds them again."""
        if self._own is not None:
            with self._lock:
                self._own.close()
            self._own = None
        self._worker.close()

    def _write(self, name: str, *arguments: Any) -> int:
        changed = self._worker.ask(name, self._reader.file_id, *arguments)
        if changed is not None:
            return changed
        with self._lock:
            if self._own is None:
                self._own = open_file(self._path)
                # A mark that the power takes away is made again: the statement is idempotent.
                self._own.execute("PRAGMA synchronous=NORMAL")
            # Never a read that becomes a write: that fails at once with SQLITE_BUSY_SNAPSHOT.
            self._own.execute("BEGIN IMMEDIATE")
            try:
                changed = server.OPERATIONS[name](self._own, self._reader.file_id, *arguments)
                self._own.execute("COMMIT")
            except BaseException:  # raised again
                with contextlib.suppress(sqlite3.Error):
                    self._own.execute("ROLLBACK")
                raise
            return changed
