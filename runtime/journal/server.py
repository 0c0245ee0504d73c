"""Writes of other processes in a running worker's journal, done for them by the worker's own writing thread.

The syncer marks what PostgreSQL has, sets rows aside and prunes. While a worker runs, it asks the worker for that: one thread
alone writes the file, marks share the worker's group commits, and a syncer that is stopped or starved in the middle holds no
lock that the worker waits for. Where no worker runs, the asker writes by itself, inside the file's lock.
"""

import contextlib
import logging
import os
import socket
import sqlite3
import struct
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from shared import supervision

log = logging.getLogger("eco2.journal")

# A request and its answer are one datagram each, of at most so many bytes.
_LARGEST = 64 * 1024
# How long the worker may take; its disk may be full, or it may be stopped.
_PATIENCE = 10.0


# What may be asked for. Each takes the connection inside a transaction and answers how many rows it changed.


def mark(db: sqlite3.Connection, file: str | None, revisions: list[tuple[int, list[int]]]) -> int:
    """Mark rows of `file` as synced whose revision is still the one that was read: lists of rowids, by revision."""
    if _file(db) != file:
        return 0
    return sum(
        db.execute(
            "UPDATE local_tasks SET synced_to_pg = 1 WHERE rowid IN (SELECT value FROM json_each(?)) AND revision = ?",
            [msgspec.json.encode(rowids).decode(), revision],
        ).rowcount
        for revision, rowids in revisions
    )


def mark_events(db: sqlite3.Connection, file: str | None, state: int, rowids: list[int]) -> int:
    """Mark events as synced (1), or as refused by PostgreSQL (-1)."""
    if _file(db) != file:
        return 0
    return db.execute(
        "UPDATE local_events SET synced_to_pg = ? WHERE rowid IN (SELECT value FROM json_each(?))",
        [state, msgspec.json.encode(rowids).decode()],
    ).rowcount


def quarantine(db: sqlite3.Connection, file: str | None, rowid: int, revision: Any, reason: str) -> int:
    """Leave a row out of the next cycles, until it changes or is released."""
    if _file(db) != file:
        return 0
    return db.execute(
        "UPDATE local_tasks SET quarantine = ? WHERE rowid = ? AND revision = ?", [reason, rowid, revision]
    ).rowcount


def drop(db: sqlite3.Connection, file: str | None, table: str, rowids: list[int]) -> int:
    """Delete those of these rows that are still synced."""
    if _file(db) != file or table not in ("local_tasks", "local_events"):
        return 0
    return db.execute(
        f"DELETE FROM {table} WHERE rowid IN (SELECT value FROM json_each(?)) AND synced_to_pg = 1",  # noqa: S608 - one of two
        [msgspec.json.encode(rowids).decode()],
    ).rowcount


def _file(db: sqlite3.Connection) -> str | None:
    # A file that was set aside as damaged meanwhile has rows of other tasks under the same numbers.
    row = db.execute("SELECT value FROM meta WHERE key = 'file_id'").fetchone()
    return row and str(row[0])


OPERATIONS: dict[str, Callable[..., int]] = {
    function.__name__: function for function in (mark, mark_events, quarantine, drop)
}


def _address(path: Path) -> bytes:
    # Abstract: no file that outlives a killed worker or has too long a path. A pod's containers share these names, and
    # the lock file is the same file to all of them, under whatever path.
    found = Path(f"{path}.lock").stat()
    return f"\0eco2-journal-{found.st_dev}-{found.st_ino}".encode()


def _is_ours(connection: socket.socket) -> bool:
    _, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return uid in (0, os.geteuid())


class Server:
    """The worker's side. `submit` queues an operation for the writing thread; `activity` counts what the worker itself wrote."""

    def __init__(
        self,
        path: Path,
        submit: Callable[[Callable[[sqlite3.Connection], Any]], Future[Any]],
        activity: Callable[[], int],
    ) -> None:
        self._submit = submit
        self._activity = activity
        self._open: set[socket.socket] = set()
        self._socket: socket.socket | None = None
        self._loop: supervision.ThreadLoop | None = None
        try:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self._socket.bind(_address(path))
            self._socket.listen()
        except OSError as error:
            log.warning("no server for the journal, its syncer writes inside the lock: %s", error)
            self.close()
            return
        self._loop = supervision.thread("journal-server", partial(self._accept, self._socket))

    def close(self) -> None:
        if self._loop is not None:
            self._loop.stopping()
        for each in (self._socket, *self._open):
            if each is not None:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            self._open.add(connection)
            threading.Thread(target=self._serve, args=(connection,), name="journal-asked", daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while _is_ours(connection) and (request := connection.recv(_LARGEST)):
                try:
                    answer: int | str = self._do(request)
                except Exception as error:  # noqa: BLE001 - the asker's own fault, or a worker that stops: the asker hears of it
                    answer = f"{type(error).__name__}: {error}"
                connection.send(msgspec.json.encode([answer, self._activity()]))
        self._open.discard(connection)

    def _do(self, request: bytes) -> int:
        name, arguments = msgspec.json.decode(request, type=tuple[str, list[Any]])
        operation = OPERATIONS[name]
        return int(self._submit(lambda db: operation(db, *arguments)).result())


class Client:
    """The syncer's side. Not thread-safe.

    Attributes:
        activity: how much the worker itself had written when it answered last.
    """

    def __init__(self, path: Path) -> None:
        self.activity = 0
        self._path = path
        self._socket: socket.socket | None = None

    def ask(self, name: str, *arguments: Any) -> int | None:
        """Have the running worker do it; None when no worker runs, or it just ends.

        Raises:
            sqlite3.OperationalError: it does not answer, or it could not. Perhaps done: all that can be asked may be repeated.
        """
        if self._socket is None:
            self._connect()
        if self._socket is None:
            return None
        try:
            self._socket.send(msgspec.json.encode([name, arguments]))
            answer = self._socket.recv(_LARGEST)
        except TimeoutError:
            self.close()
            raise sqlite3.OperationalError(f"the worker did not answer for {_PATIENCE:g} s") from None
        except OSError:
            answer = b""
        if not answer:
            self.close()
            return None
        result, self.activity = msgspec.json.decode(answer, type=tuple[int | str, int])
        if isinstance(result, str):
            self.close()
            if result.startswith("JournalClosed"):
                return None
            raise sqlite3.OperationalError(f"the worker could not {name}: {result}")
        return result

    def _connect(self) -> None:
        with contextlib.suppress(OSError):
            made = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            try:
                made.settimeout(_PATIENCE)
                made.connect(_address(self._path))
                if _is_ours(made):
                    self._socket = made
                    return
            finally:
                if self._socket is None:
                    made.close()

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
