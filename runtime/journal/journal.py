"""The journal: every task of a worker, in SQLite beside it, before the work and before the ack (the seed's "Robin pattern").

Its parts: the file (`file.py`, `schema.py`), the thread that writes it in groups (`writer.py`), the states of a task
(`states.py`), the notes of what each thread is at (`slots.py`), and the door for the syncer's marks (`server.py`).
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from datetime import timedelta
from pathlib import Path
from sqlite3 import Connection, Error
from typing import TypeVar

from runtime.journal import states
from runtime.journal.file import JournalFile, JournalUnusable
from runtime.journal.server import Server
from runtime.journal.slots import Slots
from runtime.journal.states import Ended, Start
from runtime.journal.writer import Writer
from shared import clock

T = TypeVar("T")

# The journal forgets a person's content after at most so long.
PAYLOAD_LIFETIME = timedelta(days=1)


class Journal:
    """The journal of one running worker. Made once per process, by the worker: a second one at the same path is refused.

    Attributes:
        worker_id: lives as long as the file.
        recovered: what opening had to do, one sentence each, for the log and the health answer.
        written: how many tasks this worker began or ended: the syncer gives way while it grows.

    Raises:
        JournalUnusable: the file can't be opened, or another worker has it.
    """

    def __init__(self, path: Path, *, wait: float = 0) -> None:
        self.path = path
        self.written = 0
        self._file = JournalFile(path, wait=wait)
        try:
            self._slots = Slots(Path(f"{path}.running"))
            self._count_interruptions()
        except (Error, OSError) as error:
            self._file.close()
            raise JournalUnusable(f"can't open the journal {path}: {error}") from error
        self.worker_id, self.recovered = self._file.worker_id, self._file.recovered
        self._writer = Writer(self._file)
        self._server = Server(path, self.submit, lambda: self.written)

    def _count_interruptions(self) -> None:
        cut = self._slots.take()
        if not cut:
            return
        with self._file.lock:
            self._file.db.execute("BEGIN IMMEDIATE")
            count = states.count_interruptions(self._file.db, cut)
            self._file.db.execute("COMMIT")
        self._slots.clear()
        if count:
            self._file.recovered.append(f"{count} runs were cut off when the worker died last")

    @property
    def trouble(self) -> str:
        """Why writing does not work just now; empty when it does."""
        return self._writer.trouble

    @property
    def commits(self) -> int:
        """How many groups were committed."""
        return self._writer.commits

    def stalled(self) -> float:
        """For how many seconds the commit under way has been; 0 when none is."""
        return self._writer.stalled()

    def submit(self, run: Callable[[Connection], T], *, durable: bool = False) -> "Future[T]":
        """Have `run` called in the writing thread's next transaction."""
        return self._writer.submit(run, durable=durable)

    def begin(self, starts: Sequence[Start]) -> "Future[list[Ended | None]]":
        """Journal tasks as `pending` under new runs. For each: None to work on it, or the terminal state to send again.

        A task that a died worker was at for the fifth time ends here. One that failed runs again when its message carries
        a later retry; one whose payload the journal has forgotten runs again, because its owner never got it.
        """
        now = clock.now().isoformat()
        self.written += len(starts)
        return self.submit(lambda db: [states.begin(db, start, now) for start in starts])

    def end(self, ended: Ended, start: Start, started_at: str) -> "Future[None]":
        """Journal a terminal state; it is on the disk when the future is done."""
        return self.submit(self._ending(ended, start, started_at), durable=True)

    def end_then(self, ended: Ended, start: Start, started_at: str, tell: Callable[[Exception | None], None]) -> None:
        """`end`; `tell` is called in the writing thread when it is on the disk, or with the reason why it is not."""
        self._writer.put(self._ending(ended, start, started_at), lambda _, error: tell(error), durable=True)

    def after_group(self, call: Callable[[], None]) -> None:
        """Have `call` called in the writing thread when all of a group have been told."""
        self._writer.after.append(call)

    def _ending(self, ended: Ended, start: Start, started_at: str) -> Callable[[Connection], None]:
        until = "" if ended.payload is None else (clock.now() + PAYLOAD_LIFETIME).isoformat()
        self.written += 1
        return lambda db: states.end(db, ended, start, started_at, until)

    def working(self, slot: int, run_id: str) -> None:
        """Note without a commit that a thread works on a run now (empty: on none); the note outlives the process."""
        self._slots.set(slot, run_id)

    def forget_payloads(self) -> "Future[int]":
        """Drop payloads that are a day old."""
        now = clock.now().isoformat()

        def forget(db: Connection) -> int:
            count = states.forget_payloads(db, now)
            if count:
                self._writer.truncate_log()
            return count

        return self.submit(forget)

    def close(self) -> None:
        """Write what waits, then close. What can't be written by then ends with `writer.JournalClosed`."""
        self._server.close()
        if self._writer.close():
            self._slots.close()
            self._file.close()
