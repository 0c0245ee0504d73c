"""The journal: every task of a worker, in SQLite beside it, before the work and before the ack (the seed's "Robin pattern").

One thread writes. It takes all that waits, writes it in one transaction (group commit) and answers them together; a
transaction that ends a task is on the disk (`synchronous=FULL`) before anybody hears of it. While the file can't be written
(disk full, I/O error) the thread tries again and again and nobody gets an answer, so nothing is acked.

The other process at this file is the syncer: it reads, and has its marks written by this thread (`runtime.journal.server`).
SQLite before 3.51.3 can corrupt a WAL that two connections write or checkpoint at the same instant, so whoever writes,
checkpoints or closes holds the lock file `<path>.lock`: the thread, a syncer without a worker, an operator's tool.
"""

import contextlib
import fcntl
import logging
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import Struct

from runtime.journal import server as journal_server
from runtime.journal.results import event_id, hash_result, split_error
from runtime.journal.slots import Slots
from shared import clock
from shared.ids import new_id

T = TypeVar("T")
log = logging.getLogger("eco2.journal")

# A task whose runs were cut off so often (its worker died with it) ends as a failure.
MAX_INTERRUPTIONS = 5
# The journal forgets a person's content after at most so long.
PAYLOAD_LIFETIME = timedelta(days=1)
# A group is at most so many operations: keeps one commit's locks, and the syncer's wait, at milliseconds.
GROUP = 512
# Above this size in bytes a start checks with quick_check, which skips the indexes' content.
_LARGE = 256 << 20
# SQLite's primary result codes of a damaged file (CORRUPT, NOTADB), and of what may pass: PERM, BUSY, LOCKED, NOMEM,
# READONLY, INTERRUPT, IOERR, FULL, CANTOPEN, PROTOCOL. Any other is the statement's own fault.
_DAMAGED = {11, 26}
_PASSING = {3, 5, 6, 7, 8, 9, 10, 13, 14, 15}

SCHEMA = """
CREATE TABLE local_tasks (
    id TEXT PRIMARY KEY, task_id TEXT UNIQUE NOT NULL, task_name TEXT NOT NULL, status TEXT NOT NULL,
    result TEXT,  -- JSON
    error TEXT, started_at TEXT NOT NULL, completed_at TEXT,
    synced_to_pg INTEGER DEFAULT 0);  -- 0: not synced, 1: synced
CREATE INDEX idx_local_not_synced ON local_tasks(synced_to_pg) WHERE synced_to_pg = 0;
CREATE INDEX idx_local_completed ON local_tasks(completed_at) WHERE completed_at IS NOT NULL;
"""
# Each entry brings a file of the version before it up to the next; PRAGMA user_version counts them.
_VERSIONS = (
    SCHEMA,
    """
    ALTER TABLE local_tasks ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE local_tasks ADD COLUMN run_id TEXT;
    ALTER TABLE local_tasks ADD COLUMN runs INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE local_tasks ADD COLUMN interruptions INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE local_tasks ADD COLUMN retries INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE local_tasks ADD COLUMN queued_at TEXT;
    ALTER TABLE local_tasks ADD COLUMN changed_at TEXT;
    ALTER TABLE local_tasks ADD COLUMN traceparent TEXT;
    ALTER TABLE local_tasks ADD COLUMN result_hash TEXT;
    ALTER TABLE local_tasks ADD COLUMN payload TEXT;
    ALTER TABLE local_tasks ADD COLUMN payload_until TEXT;  -- null with a payload column of null: there was none
    ALTER TABLE local_tasks ADD COLUMN quarantine TEXT;     -- why PostgreSQL refuses this row
    CREATE INDEX idx_local_payload ON local_tasks(payload_until) WHERE payload IS NOT NULL;
    -- Events of runs that a later run of the same task has replaced in local_tasks.
    CREATE TABLE local_events (
        id TEXT PRIMARY KEY, task_id TEXT NOT NULL, event_type TEXT NOT NULL, event_data TEXT, timestamp TEXT NOT NULL,
        synced_to_pg INTEGER NOT NULL DEFAULT 0);
    CREATE INDEX idx_events_not_synced ON local_events(synced_to_pg) WHERE synced_to_pg = 0;
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
    """,
)
# Runs of tasks whose row is terminal and stays so until the run ends: an operator's retry, a payload that was forgotten. Not a
# version of its own: the program before this one knows nothing of it, and may come back.
_AGAIN = """
CREATE TABLE IF NOT EXISTS local_again (
    task_id TEXT PRIMARY KEY, run_id TEXT NOT NULL, retries INTEGER NOT NULL, interruptions INTEGER NOT NULL DEFAULT 0)
"""


class JournalUnusable(Exception):
    """The journal can't be opened; the message says what an operator can do."""


class JournalClosed(Exception):
    """The journal was closed before this could be written: the task is not acked and comes again."""


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


def connect(path: Path, *, readonly: bool = False) -> sqlite3.Connection:
    """Open a journal file, without making or changing one. The caller holds `lock` for everything but reading."""
    # As a URI: a name of `?` or `#` in the path must not be read as one.
    mode = "ro" if readonly else "rw"
    connection = sqlite3.connect(
        f"file:{_quoted(path)}?mode={mode}", uri=True, isolation_level=None, check_same_thread=False, timeout=30
    )
    connection.execute("PRAGMA synchronous=FULL")
    return connection


def _quoted(path: Path) -> str:
    return str(path.absolute()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")


class Lock:
    """The one lock of everybody who writes, checkpoints or closes a journal, in any process. Not reentrant."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def __enter__(self) -> None:
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        os.close(self._file)


class Journal:
    """The journal of one running worker. Made once per process, by the worker: a second one at the same path is refused.

    Attributes:
        worker_id: lives as long as the file.
        trouble: why writing does not work just now; empty when it does.
        recovered: what opening had to do, one sentence each, for the log and the health answer.
    """

    def __init__(self, path: Path, *, wait: float = 0) -> None:
        self.path = path
        self.trouble = ""
        self.recovered: list[str] = []
        self.commits = 0
        # How many tasks this worker began or ended: the syncer gives way while it grows.
        self.written = 0
        self._committing = 0.0
        self._durable = True  # what `connect` sets
        self._truncating = False
        path.parent.mkdir(parents=True, exist_ok=True)
        self._owner = os.open(f"{path}.owner", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        end = time.monotonic() + wait
        while True:
            try:
                fcntl.flock(self._owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= end:
                    os.close(self._owner)
                    raise JournalUnusable(
                        f"another worker runs on {path}: each replica needs a volume of its own"
                    ) from None
                time.sleep(0.05)
        self._lock = Lock(path)
        self._queue: queue.SimpleQueue[_Operation | None] = queue.SimpleQueue()
        self._closing = threading.Event()
        try:
            with self._lock:
                self._db = self._open()
                self.worker_id = self._prepare()
                self._slots = Slots(Path(f"{path}.running"))
                self._count_interruptions()
        except (sqlite3.Error, OSError) as error:
            self._let_go()
            raise JournalUnusable(f"can't open the journal {path}: {error}") from error
        except JournalUnusable:
            self._let_go()
            raise
        self._thread = threading.Thread(target=self._write, name="journal", daemon=True)
        self._thread.start()
        self._server = journal_server.Server(path, self._submit, lambda: self.written)

    # Opening and recovery

    def _open(self) -> sqlite3.Connection:
        if not self.path.exists():
            self.path.touch(0o600)
        db = connect(self.path)
        try:
            size = self.path.stat().st_size
            check = "quick_check" if size > _LARGE else "integrity_check"
            found = [str(row[0]) for row in db.execute(f"PRAGMA {check}(5)")]
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                db.close()
                raise
            found = [str(error)]
        if found != ["ok"]:
            db.close()
            db = self._set_aside("; ".join(found))
        return self._in_wal_mode(db)

    def _in_wal_mode(self, db: sqlite3.Connection) -> sqlite3.Connection:
        mode = db.execute("PRAGMA journal_mode=WAL").fetchall()[0][0]
        if mode != "wal":
            raise JournalUnusable(
                f"{self.path} lies on a file system without shared memory: SQLite's WAL can't work there"
            )
        # A checkpoint right after the change of mode is refused as "locked"; a read in between opens the WAL.
        db.execute("SELECT count(*) FROM sqlite_master").fetchall()
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return db

    def _set_aside(self, why: str) -> sqlite3.Connection:
        name = f"{self.path}.damaged-{clock.now():%Y%m%dT%H%M%S}-{os.urandom(2).hex()}"
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                Path(f"{self.path}{suffix}").rename(f"{name}{suffix}")
        self.path.touch(0o600)
        said = f"the journal was damaged ({why}); it was set aside as {name}: `eco2 journal recover` reads what can be read"
        log.critical(said)
        self.recovered.append(said)
        return connect(self.path)

    def _prepare(self, worker_id: str = "") -> str:
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version > len(_VERSIONS):
            raise JournalUnusable(f"{self.path} was written by a newer version of this program")
        for number, script in enumerate(_VERSIONS[version:], version + 1):
            self._db.executescript(f"BEGIN IMMEDIATE;{script};PRAGMA user_version={number};COMMIT;")
        self._db.execute("BEGIN IMMEDIATE")
        self._db.execute(_AGAIN)
        self._db.executemany(
            "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT DO NOTHING",
            [("worker_id", worker_id or str(new_id())), ("file_id", str(new_id()))],
        )
        self._db.execute("COMMIT")
        return str(self._db.execute("SELECT value FROM meta WHERE key = 'worker_id'").fetchone()[0])

    def _count_interruptions(self) -> None:
        cut = self._slots.take()
        if not cut:
            return
        marks = ",".join("?" * len(cut))
        self._db.execute("BEGIN IMMEDIATE")
        count = self._db.execute(
            f"UPDATE local_tasks SET interruptions = interruptions + 1 WHERE status = 'pending' AND run_id IN ({marks})",  # noqa: S608
            cut,
        ).rowcount
        count += self._db.execute(
            f"UPDATE local_again SET interruptions = interruptions + 1 WHERE run_id IN ({marks})",  # noqa: S608
            cut,
        ).rowcount
        self._db.execute("COMMIT")
        self._slots.clear()
        if count:
            self.recovered.append(f"{count} runs were cut off when the worker died last")

    def _let_go(self) -> None:
        db = getattr(self, "_db", None)
        if db is not None:
            db.close()
        self._lock.close()
        os.close(self._owner)

    # The writing thread

    def _submit(self, operation: Callable[[sqlite3.Connection], T], *, durable: bool = False) -> "Future[T]":
        waiting = _Operation(operation, durable)
        if self._closing.is_set():
            waiting.future.set_exception(JournalClosed())
        else:
            self._queue.put(waiting)
        return waiting.future

    def _write(self) -> None:
        last = False
        while not last:
            first = self._queue.get()
            if first is None:
                break
            group = [first]
            with contextlib.suppress(queue.Empty):
                while len(group) < GROUP:
                    further = self._queue.get_nowait()
                    if further is None:
                        last = True
                        break
                    group.append(further)
            self._commit_until_done(group)
        self._fail_rest()

    def _fail_rest(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                left = self._queue.get_nowait()
                if left is not None:
                    left.future.set_exception(JournalClosed())

    def _commit_until_done(self, group: list["_Operation"]) -> None:
        pause = 0.05
        while True:
            try:
                self._commit(group)
            except sqlite3.DatabaseError as caught:
                error: Exception = caught
                code = getattr(error, "sqlite_errorcode", 0) & 0xFF
                if code in _DAMAGED:
                    try:
                        self._begin_anew(str(error))
                        continue
                    except (sqlite3.Error, OSError) as further:
                        error = further
                elif code not in _PASSING:
                    self._alone(group, error)
                    return
                # Disk full, I/O error, a file system gone read-only: it may pass, and until then nothing may be acked.
                if not self.trouble:
                    log.error("the journal can't be written, no task is acked until it can: %s", error)
                self.trouble = f"the journal can't be written: {error}"
                if self._closing.wait(pause):
                    for operation in group:
                        operation.future.set_exception(JournalClosed())
                    return
                pause = min(pause * 2, 1.0)
                self._reopen()
            except Exception as fault:  # noqa: BLE001 - one operation's own
                self._alone(group, fault)
                return
            else:
                return

    def _alone(self, group: list["_Operation"], error: Exception) -> None:
        # One operation's own fault, such as a text that is none: its caller gets it, its group goes on.
        if len(group) == 1:
            group[0].future.set_exception(error)
            return
        for operation in group:
            self._commit_until_done([operation])

    def _begin_anew(self, why: str) -> None:
        # Found while writing what a start would have found: the same is done about it. Tasks go on in a new file; what the
        # old one knew of those under way comes with their ends.
        with self._lock:
            self._db.close()
            self._db, self._durable = self._set_aside(why), True
            self._in_wal_mode(self._db)
            self._prepare(self.worker_id)

    def stalled(self) -> float:
        """For how many seconds the commit under way has been; 0 when none is."""
        since = self._committing
        return time.monotonic() - since if since else 0.0

    def _commit(self, group: Sequence["_Operation"]) -> None:
        self._committing = time.monotonic()
        try:
            results = self._transact(group)
        finally:
            self._committing = 0.0
        self.commits += 1
        if self.trouble:
            log.warning("the journal can be written again")
            self.trouble = ""
        for operation, result in zip(group, results, strict=True):
            operation.future.set_result(result)

    def _transact(self, group: Sequence["_Operation"]) -> list[Any]:
        db = self._db
        results = []
        with self._lock:
            # NORMAL leaves a `pending` to the next sync: losing it with the power costs nothing, the task comes again.
            durable = any(operation.durable for operation in group)
            if durable != self._durable:
                db.execute("PRAGMA synchronous=FULL" if durable else "PRAGMA synchronous=NORMAL")
                self._durable = durable
            db.execute("BEGIN IMMEDIATE")
            try:
                for operation in group:
                    results.append(operation.run(db))
                db.execute("COMMIT")
            except BaseException:  # raised again
                with contextlib.suppress(sqlite3.Error):
                    db.execute("ROLLBACK")
                raise
            if self._truncating:
                # What was overwritten in the file must not live on in the log. A reader puts it off until the next time.
                db.execute("PRAGMA busy_timeout=50")
                with contextlib.suppress(sqlite3.OperationalError):
                    self._truncating = bool(db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0])
                db.execute("PRAGMA busy_timeout=30000")
        return results

    def _reopen(self) -> None:
        # After an I/O error a connection may think wrongly of the file; a fresh one reads the truth.
        with contextlib.suppress(sqlite3.Error), self._lock:
            fresh = connect(self.path)
            with contextlib.suppress(sqlite3.Error):
                self._db.close()
            self._db, self._durable = fresh, True
            if not fresh.execute("PRAGMA user_version").fetchone()[0]:
                # Set aside a moment ago, and then the disk was full.
                self._in_wal_mode(fresh)
                self._prepare(self.worker_id)

    def close(self) -> None:
        """Write what waits, then close. What can't be written by then ends with JournalClosed."""
        if self._closing.is_set():
            return
        self._server.close()
        self._queue.put(None)
        if not self.trouble:
            self._thread.join(30)
        self._closing.set()
        self._thread.join()
        with contextlib.suppress(sqlite3.Error), self._lock:
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        with self._lock, contextlib.suppress(sqlite3.Error):
            self._db.close()
        self._slots.close()
        self._lock.close()
        os.close(self._owner)

    # What a worker writes

    def begin(self, starts: Sequence[Start]) -> "Future[list[Ended | None]]":
        """Journal tasks as `pending` under new runs. For each: None to work on it, or the terminal state to send again.

        A task that a died worker was at for the fifth time ends here. One that failed runs again when its message carries
        a later retry; one whose payload the journal has forgotten runs again, because its owner never got it.
        """
        now = clock.now().isoformat()
        self.written += len(starts)
        return self._submit(lambda db: [_begin(db, start, now) for start in starts])

    def end(self, ended: Ended, start: Start, started_at: str) -> "Future[None]":
        """Journal a terminal state; it is on the disk when the future is done."""
        until = (clock.now() + PAYLOAD_LIFETIME).isoformat()
        self.written += 1
        return self._submit(lambda db: _end(db, ended, start, started_at, until), durable=True)

    def working(self, slot: int, run_id: str) -> None:
        """Note without a commit that a thread works on a run now (empty: on none); the note outlives the process."""
        self._slots.set(slot, run_id)

    def forget_payloads(self) -> "Future[int]":
        """Drop payloads that are a day old."""
        now = clock.now().isoformat()

        def forget(db: sqlite3.Connection) -> int:
            # What is dropped is overwritten: a person's words must not live on in a free page. On for this alone, for it
            # costs every other commit a fifth of its speed.
            db.execute("PRAGMA secure_delete=ON").fetchall()
            try:
                count = db.execute(
                    "UPDATE local_tasks SET payload = NULL WHERE payload IS NOT NULL AND payload_until < ?", [now]
                ).rowcount
            finally:
                db.execute("PRAGMA secure_delete=OFF").fetchall()
            self._truncating = self._truncating or count > 0
            return count

        return self._submit(forget)


class _Operation:
    __slots__ = ("durable", "future", "run")

    def __init__(self, run: Callable[[sqlite3.Connection], Any], durable: bool) -> None:
        self.run = run
        self.durable = durable
        self.future: Future[Any] = Future()


def _begin(db: sqlite3.Connection, start: Start, now: str) -> Ended | None:
    # As a rule a task is new: one statement says so and writes it.
    new = db.execute(
        "INSERT INTO local_tasks (id, task_id, task_name, status, started_at, run_id, runs, retries, queued_at,"
        " changed_at, traceparent, revision) VALUES (?, ?, ?, 'pending', ?, ?, 1, ?, ?, ?, ?, 1)"
        " ON CONFLICT (task_id) DO NOTHING",
        [
            start.run_id,
            start.task_id,
            start.name,
            now,
            start.run_id,
            start.retries,
            start.queued_at,
            now,
            start.traceparent,
        ],
    ).rowcount
    if new:
        return None
    row = db.execute(
        "SELECT status, run_id, interruptions, retries, result, payload, payload_until, error, started_at, completed_at,"
        " result_hash FROM local_tasks WHERE task_id = ?",
        [start.task_id],
    ).fetchone()
    status, run_id, interruptions, retries, result, payload, until, error, started_at, completed_at, hash_ = row
    if status == "pending" and interruptions >= MAX_INTERRUPTIONS:
        said = "interrupted: The worker stopped during this task five times."
        ended = Ended(
            start.task_id, run_id, "failure", now, hash_result("failure", None, None, split_error(said)), error=said
        )
        _end(db, ended, start, started_at, now)
        return ended
    if status != "pending":
        again = (status == "failure" and start.retries > retries) or (payload is None and until is not None)
        if not again or not _may_run_again(db, start):
            return Ended(start.task_id, run_id, status, completed_at, hash_, result, payload, error)
    if run_id:
        _keep_events(db, start.task_id, run_id, started_at, status, completed_at, hash_, error)
    if status == "pending":
        db.execute(
            "UPDATE local_tasks SET run_id = ?, runs = runs + 1, retries = ?, started_at = ?, changed_at = ?,"
            " synced_to_pg = 0, revision = revision + 1 WHERE task_id = ?",
            [start.run_id, max(retries, start.retries), now, now, start.task_id],
        )
    # A terminal row stays as it is until the new run ends at least as well: states only rise.
    return None


def _may_run_again(db: sqlite3.Connection, start: Start) -> bool:
    # A retry that takes its worker along would do so for ever: five times, then the end that there is stands.
    (interruptions,) = db.execute(
        "INSERT INTO local_again AS a (task_id, run_id, retries) VALUES (?, ?, ?) ON CONFLICT (task_id) DO UPDATE SET"
        " run_id = excluded.run_id, retries = excluded.retries,"
        " interruptions = CASE WHEN excluded.retries > a.retries THEN 0 ELSE a.interruptions END RETURNING interruptions",
        [start.task_id, start.run_id, start.retries],
    ).fetchone()
    return bool(interruptions < MAX_INTERRUPTIONS)


_END = (
    "UPDATE local_tasks SET status = ?, result = ?, error = ?, payload = ?, payload_until = ?, result_hash = ?,"
    " started_at = ?, completed_at = ?, changed_at = ?, run_id = ?, retries = ?, synced_to_pg = 0, quarantine = NULL,"
    " revision = revision + 1 WHERE task_id = ?"
)


def _end(db: sqlite3.Connection, ended: Ended, start: Start, started_at: str, until: str) -> None:
    values = [
        ended.status,
        ended.record,
        ended.error,
        ended.payload,
        until if ended.payload is not None else None,
        ended.result_hash,
        started_at,
        ended.completed_at,
        ended.completed_at,
        ended.run_id,
        start.retries,
    ]
    # As a rule the row is this run's own.
    if db.execute(f"{_END} AND run_id = ? AND status = 'pending'", [*values, ended.task_id, ended.run_id]).rowcount:
        return
    old = db.execute(
        "SELECT status, run_id, started_at, completed_at, result_hash, error FROM local_tasks WHERE task_id = ?",
        [ended.task_id],
    ).fetchone()
    if old is None:
        # The journal was set aside, or restored, under a running worker.
        db.execute(
            "INSERT INTO local_tasks (status, result, error, payload, payload_until, result_hash, started_at, completed_at,"
            " changed_at, run_id, retries, id, task_id, task_name, queued_at, traceparent, runs, revision)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, 1)",
            [*values, str(new_id()), ended.task_id, start.name, start.queued_at, start.traceparent],
        )
        return
    status, run_id, before, completed_at, hash_, error = old
    db.execute("DELETE FROM local_again WHERE task_id = ?", [ended.task_id])
    if status == "success" and ended.status == "failure":
        _keep_events(
            db, ended.task_id, ended.run_id, started_at, "failure", ended.completed_at, ended.result_hash, ended.error
        )
        return
    if run_id and run_id != ended.run_id:
        _keep_events(db, ended.task_id, run_id, before, status, completed_at, hash_, error)
    db.execute(_END, [*values, ended.task_id])


def _keep_events(
    db: sqlite3.Connection,
    task_id: str,
    run_id: str,
    started_at: str,
    status: str,
    completed_at: str | None,
    result_hash: str | None,
    error: str | None,
) -> None:
    # The run that the row tells of is about to be replaced there; the syncer may not have seen it yet.
    rows = [(event_id(run_id, "started"), task_id, "started", _data(run_id), started_at)]
    if completed_at is not None and status != "pending":
        event = "completed" if status == "success" else "failed"
        rows.append((event_id(run_id, event), task_id, event, _data(run_id, status, result_hash, error), completed_at))
    db.executemany(
        "INSERT INTO local_events (id, task_id, event_type, event_data, timestamp) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (id) DO NOTHING",
        rows,
    )


def _data(run_id: str, status: str | None = None, result_hash: str | None = None, error: str | None = None) -> str:
    data = {"run_id": run_id}
    if status is not None:
        data |= {"status": status, "result_hash": result_hash or ""}
    if error:
        data["error"] = error
    return msgspec.json.encode(data).decode()


@contextlib.contextmanager
def written(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection for another process than the worker (the syncer, an operator's tool) to write with, inside the lock."""
    lock = Lock(path)
    try:
        with lock:
            connection = connect(path)
            try:
                yield connection
            finally:
                connection.close()
    finally:
        lock.close()


def since(iso: str) -> float:
    """Seconds by the system's clock since a journal's time."""
    return (clock.now() - datetime.fromisoformat(iso)).total_seconds()
