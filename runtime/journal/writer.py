"""The thread that writes a journal, alone: it takes all that waits, commits it together, and answers together.

A group that ends a task is on the disk (`synchronous=FULL`) before anybody hears of it. While the file can't be written (disk
full, I/O error) the thread tries again and again and no one gets an answer, so nothing is acked.
"""

import contextlib
import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

from runtime.journal.file import JournalFile
from shared import supervision

T = TypeVar("T")
log = logging.getLogger("eco2.journal")

# A group is at most so many operations: keeps one commit's locks, and the syncer's wait, at milliseconds.
GROUP = 512
# SQLite's primary result codes of a damaged file (CORRUPT, NOTADB), and of what may pass: PERM, BUSY, LOCKED, NOMEM,
# READONLY, INTERRUPT, IOERR, FULL, CANTOPEN, PROTOCOL. Any other is the statement's own fault.
_DAMAGED = {11, 26}
_PASSING = {3, 5, 6, 7, 8, 9, 10, 13, 14, 15}


class JournalClosed(Exception):
    """The journal was closed before this could be written: the task is not acked and comes again."""


Told = Callable[[Any, Exception | None], None]


class Operation:
    """Something to write, and who is told its result or why there is none. `run` takes the connection inside a transaction."""

    __slots__ = ("durable", "run", "tell")

    def __init__(self, run: Callable[[sqlite3.Connection], Any], tell: Told, durable: bool) -> None:
        self.run = run
        self.tell = tell
        self.durable = durable


class Writer:
    """Writes a journal's file in groups.

    Attributes:
        trouble: why writing does not work just now; empty when it does.
        commits: how many groups were committed.
        after: called in the writing thread when all of a group have been told.
    """

    def __init__(self, file: JournalFile) -> None:
        self.file = file
        self.after: list[Callable[[], None]] = []
        self.trouble = ""
        self.commits = 0
        self._committing = 0.0
        self._truncating = False
        self._queue: queue.SimpleQueue[Operation | None] = queue.SimpleQueue()
        # An operation is put before the mark that ends the thread, or not at all: none is left behind it unanswered.
        self._door = threading.Lock()
        self._closed = False
        self._giving_up = threading.Event()
        # Not started twice: what it had in its hands would never be answered.
        self._loop = supervision.thread("journal", self._write, again=False)

    def submit(self, run: Callable[[sqlite3.Connection], T], *, durable: bool = False) -> "Future[T]":
        """Have `run` called in the next group; with `durable`, what it wrote is on the disk when the future is done."""
        future: Future[T] = Future()
        self.put(run, partial(_resolve, future), durable=durable)
        return future

    def put(self, run: Callable[[sqlite3.Connection], Any], tell: Told, *, durable: bool = False) -> None:
        """`submit`; who is told is so in the writing thread, for less than a future costs."""
        operation = Operation(run, tell, durable)
        with self._door:
            if not self._closed:
                self._queue.put(operation)
                return
        self._tell([operation], [None], JournalClosed())

    def truncate_log(self) -> None:
        """Empty the WAL after this group, or as soon as no reader holds it: what was overwritten must not live on there."""
        self._truncating = True

    def stalled(self) -> float:
        """For how many seconds the commit under way has been; 0 when none is."""
        since = self._committing
        return time.monotonic() - since if since else 0.0

    def close(self) -> bool:
        """Write what waits, then end. What can't be written by then ends with JournalClosed. False: closed already."""
        with self._door:
            if self._closed:
                return False
            self._closed = True
            self._loop.stopping()
            self._queue.put(None)
        if not self.trouble:
            self._loop.stop(30)
        self._giving_up.set()
        self._loop.stop()
        return True

    def _write(self) -> None:
        last = False
        while not last:
            group, last = self._next_group()
            if group:
                self._write_group(group)
                for after in self.after:
                    after()

    def _next_group(self) -> tuple[list[Operation], bool]:
        """All that waits, at least one; and whether it is the last."""
        first = self._queue.get()
        if first is None:
            return [], True
        group = [first]
        # Who is about to submit something, and waits for the interpreter, is of this group: its commit costs more than the wait.
        time.sleep(0)
        with contextlib.suppress(queue.Empty):
            while len(group) < GROUP:
                further = self._queue.get_nowait()
                if further is None:
                    return group, True
                group.append(further)
        return group, False

    def _write_group(self, group: Sequence[Operation]) -> None:
        """Commit and answer, however often it takes."""
        pause = 0.05
        while True:
            try:
                results = self._commit(group)
            except sqlite3.DatabaseError as caught:
                error: Exception | None = caught
                code = getattr(caught, "sqlite_errorcode", 0) & 0xFF
                if code in _DAMAGED:
                    if (error := self._begin_anew(caught)) is None:
                        continue
                elif code not in _PASSING:
                    self._write_alone(group, caught)
                    return
                # Disk full, I/O error, a file system gone read-only: it may pass, and until then nothing may be acked.
                if not self._wait(pause, error):
                    self._tell(group, [None] * len(group), JournalClosed())
                    return
                pause = min(pause * 2, 1.0)
            except Exception as fault:  # noqa: BLE001 - one operation's own
                self._write_alone(group, fault)
                return
            else:
                self._answer(group, results)
                return

    def _begin_anew(self, error: sqlite3.DatabaseError) -> Exception | None:
        """Go on in a new file; what went wrong with that, too, or None."""
        try:
            self.file.begin_anew(str(error))
        except (sqlite3.Error, OSError) as further:
            return further
        return None

    def _wait(self, seconds: float, error: Exception | None) -> bool:
        """Say what is wrong, wait, and open the file anew; False when no one wants the writing any more."""
        if not self.trouble:
            log.error("the journal can't be written, no task is acked until it can: %s", error)
        self.trouble = f"the journal can't be written: {error}"
        if self._giving_up.wait(seconds):
            return False
        with contextlib.suppress(sqlite3.Error):
            self.file.reopen()
        return True

    def _write_alone(self, group: Sequence[Operation], error: Exception) -> None:
        # One operation's own fault, such as a text that is none: its caller gets it, its group goes on.
        if len(group) == 1:
            self._tell(group, [None], error)
            return
        for operation in group:
            self._write_group([operation])

    def _answer(self, group: Sequence[Operation], results: Sequence[Any]) -> None:
        self.commits += 1
        if self.trouble:
            log.warning("the journal can be written again")
            self.trouble = ""
        self._tell(group, results)

    def _tell(self, group: Sequence[Operation], results: Sequence[Any], error: Exception | None = None) -> None:
        for operation, result in zip(group, results, strict=True):
            try:
                operation.tell(result, error)
            except Exception:  # whoever is told: its fault must not end the writing for all
                log.exception("what follows a commit of the journal stumbled")

    def _commit(self, group: Sequence[Operation]) -> list[Any]:
        self._committing = time.monotonic()
        try:
            with self.file.lock:
                self.file.set_durable(any(operation.durable for operation in group))
                db = self.file.db
                db.execute("BEGIN IMMEDIATE")
                try:
                    results = [operation.run(db) for operation in group]
                    db.execute("COMMIT")
                except BaseException:  # raised again
                    with contextlib.suppress(sqlite3.Error):
                        db.execute("ROLLBACK")
                    raise
                if self._truncating:
                    self._truncating = _truncate(db)
            return results
        finally:
            self._committing = 0.0


def _resolve(future: "Future[Any]", result: Any, error: Exception | None) -> None:
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


def _truncate(db: sqlite3.Connection) -> bool:
    """Empty the WAL; True when a reader put it off."""
    db.execute("PRAGMA busy_timeout=50")
    try:
        return bool(db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0])
    except sqlite3.OperationalError:
        return True
    finally:
        db.execute("PRAGMA busy_timeout=30000")
