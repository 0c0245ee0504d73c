"""The journal's file: found sound or set aside at the start, opened, and the one lock of everybody who writes to it.

SQLite before 3.51.3 can corrupt a WAL when two connections write or checkpoint at the same instant. So whoever writes,
checkpoints or closes holds the lock file `<path>.lock`: the worker's writing thread, a syncer without a worker, an
operator's tool (`written`).
"""

import contextlib
import fcntl
import logging
import os
import sqlite3
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from runtime.journal import schema
from shared import clock
from shared.ids import new_id

log = logging.getLogger("eco2.journal")

# Above this size in bytes a start checks with quick_check, which skips the indexes' content.
_LARGE = 256 << 20


class JournalUnusable(Exception):
    """The journal can't be opened; the message says what an operator can do."""


def open_file(path: Path, *, readonly: bool = False) -> sqlite3.Connection:
    """Open a journal file, without making or changing one. The caller holds `Lock` for everything but reading."""
    # As a URI: a name of `?` or `#` in the path must not be read as one.
    mode = "ro" if readonly else "rw"
    db = sqlite3.connect(
        f"file:{_quoted(path)}?mode={mode}", uri=True, isolation_level=None, check_same_thread=False, timeout=30
    )
    try:
        db.execute("PRAGMA synchronous=FULL")
    except sqlite3.Error:
        db.close()
        raise
    return db


def _quoted(path: Path) -> str:
    return str(path.absolute()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")


class Lock:
    """The one lock of everybody who writes, checkpoints or closes a journal, in any process. Not reentrant."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o600)

    def __enter__(self) -> None:
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        os.close(self._file)


@contextlib.contextmanager
def written(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection for another process than the worker (the syncer, an operator's tool) to write with, inside the lock."""
    lock = Lock(path)
    try:
        with lock:
            db = open_file(path)
            try:
                yield db
            finally:
                db.close()
    finally:
        lock.close()


def since(iso: str) -> float:
    """Seconds by the system's clock since a journal's time."""
    return (clock.now() - datetime.fromisoformat(iso)).total_seconds()


class JournalFile:
    """The file of one running worker: a second worker on it is refused. `db` is to be used inside `lock`.

    Attributes:
        worker_id: lives as long as the file.
        recovered: what opening had to do, one sentence each, for the log and the health answer.
    """

    def __init__(self, path: Path, *, wait: float = 0) -> None:
        self.path = path
        self.recovered: list[str] = []
        path.parent.mkdir(parents=True, exist_ok=True)
        self._owner = _own(path, wait)
        self.lock = Lock(path)
        self.db: sqlite3.Connection
        self._durable = True
        try:
            with self.lock:
                self._open()
                self.worker_id = self._fill()
        except (sqlite3.Error, OSError, schema.NewerFile) as error:
            self.close()
            raise JournalUnusable(f"can't open the journal {path}: {error}") from error
        except JournalUnusable:
            self.close()
            raise

    def _open(self) -> None:
        why = self._damage()
        if why:
            self._set_aside(why)
        elif not self.path.exists():
            self.path.touch(0o600)
        self._use(open_file(self.path))
        self._use_wal()

    def _use(self, db: sqlite3.Connection) -> None:
        self.db, self._durable = db, True  # what `open_file` sets

    def set_durable(self, durable: bool) -> None:
        """Whether the next commit is on the disk when it returns.

        Without it a `pending` is left to the next sync: losing it with the power costs nothing, the task comes again.
        """
        if durable != self._durable:
            self.db.execute("PRAGMA synchronous=FULL" if durable else "PRAGMA synchronous=NORMAL")
            self._durable = durable

    def _damage(self) -> str:
        """Why the file must not be believed, in SQLite's words; empty when it is sound, or when there is none yet."""
        if not self.path.exists() or not self.path.stat().st_size:
            # A first start leaves nothing behind before it has filled the file. A log without its file, or the notes of
            # what ran, say that there was one: opening an empty file would make SQLite delete that log.
            left = [suffix for suffix in ("-wal", ".running") if _size(f"{self.path}{suffix}")]
            return f"it is empty or gone, and {self.path.name}{left[0]} is there" if left else ""
        check = "quick_check" if self.path.stat().st_size > _LARGE else "integrity_check"
        try:
            with contextlib.closing(open_file(self.path)) as db:
                found = [str(row[0]) for row in db.execute(f"PRAGMA {check}(5)")]
                return "; ".join(found) if found != ["ok"] else schema.lacks(db)
        except sqlite3.OperationalError:
            raise  # locked, or the disk fails: no word on the file
        except sqlite3.DatabaseError as error:
            return str(error)

    def _set_aside(self, why: str) -> None:
        name = f"{self.path}.damaged-{clock.now():%Y%m%dT%H%M%S}-{os.urandom(2).hex()}"
        moved = []
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                Path(f"{self.path}{suffix}").rename(f"{name}{suffix}")
                moved.append(f"{name}{suffix}")
        self.path.touch(0o600)
        said = f"the journal was damaged ({why}); "
        said += (
            f"it was set aside as {moved[0]}: `eco2 journal recover` reads what can be read"
            if moved
            else "a new one is begun"
        )
        log.critical(said)
        self.recovered.append(said)

    def _use_wal(self) -> None:
        mode = self.db.execute("PRAGMA journal_mode=WAL").fetchall()[0][0]
        if mode != "wal":
            raise JournalUnusable(
                f"{self.path} lies on a file system without shared memory: SQLite's WAL can't work there"
            )
        # A checkpoint right after the change of mode is refused as "locked"; a read in between opens the WAL.
        self.db.execute("SELECT count(*) FROM sqlite_master").fetchall()
        self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _fill(self, worker_id: str = "") -> str:
        before = schema.bring_up(self.db)
        if 0 < before < schema.VERSION:
            self.recovered.append(f"the journal of format {before} was brought up to {schema.VERSION}")
        self.db.execute("BEGIN IMMEDIATE")
        self.db.executemany(
            "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT DO NOTHING",
            [("worker_id", worker_id or str(new_id())), ("file_id", str(new_id()))],
        )
        self.db.execute("COMMIT")
        return str(self.db.execute("SELECT value FROM meta WHERE key = 'worker_id'").fetchone()[0])

    def begin_anew(self, why: str) -> None:
        """Set the file aside and go on in a new one: what a start would have done, found while writing.

        What the old file knew of tasks under way comes with their ends.
        """
        with self.lock:
            self.db.close()
            self._set_aside(why)
            self._use(open_file(self.path))
            self._use_wal()
            self._fill(self.worker_id)

    def reopen(self) -> None:
        """After an I/O error a connection may think wrongly of the file; a fresh one reads the truth."""
        with self.lock:
            fresh = open_file(self.path)
            with contextlib.suppress(sqlite3.Error):
                self.db.close()
            self._use(fresh)
            if not schema.version(fresh):
                # Set aside a moment ago, and then the disk was full.
                self._use_wal()
                self._fill(self.worker_id)

    def close(self) -> None:
        if "db" in self.__dict__:
            with self.lock:
                with contextlib.suppress(sqlite3.Error):
                    self.db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
                with contextlib.suppress(sqlite3.Error):
                    self.db.close()
        self.lock.close()
        os.close(self._owner)


def _own(path: Path, wait: float) -> int:
    """Be the one worker of this file, or wait so many seconds for the one before to be gone."""
    owner = os.open(f"{path}.owner", os.O_RDWR | os.O_CREAT, 0o600)
    end = time.monotonic() + wait
    while True:
        try:
            fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return owner
        except BlockingIOError:
            if time.monotonic() >= end:
                os.close(owner)
                raise JournalUnusable(
                    f"another worker runs on {path}: each replica needs a volume of its own"
                ) from None
            time.sleep(0.05)


def _size(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except FileNotFoundError:
        return 0
