"""Whoever writes, checkpoints or closes a journal's file waits for who does, and has touched nothing until then"""

import contextlib
import errno
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runtime.journal import journal as journals
from runtime.journal.file import JournalFile, JournalUnusable, Lock, open_file, written
from runtime.journal.journal import Journal
from runtime.journal.marks import Marks
from runtime.journal.reader import Reader
from runtime.journal.server import Client
from runtime.journal.states import Start
from shared import clock
from shared.ids import new_id


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A journal with a task under way, whose worker has died."""
    path = tmp_path / "worker.db"
    journal = Journal(path)
    begun = Start(str(new_id()), "act", str(new_id()), clock.now().isoformat(), 0)
    journal.begin([begun]).result()
    journal.working(0, begun.run_id)
    journal.close()
    return path


def someone_waits(path: Path) -> bool:
    """Whether a thread or process waits for the file's lock."""
    inode = Path(f"{path}.lock").stat().st_ino
    lines = Path("/proc/locks").read_text().splitlines()
    return any("->" in line and f":{inode} " in line for line in lines)


def content(path: Path) -> list[bytes]:
    return [file.read_bytes() for file in sorted(path.parent.glob(f"{path.name}*")) if "-shm" not in file.name]


def begun(path: Path, action: Callable[[], Any]) -> threading.Thread:
    """Begin `action` in a thread, and return when it waits for the lock."""
    working = threading.Thread(target=action)
    working.start()
    while not someone_waits(path):
        assert working.is_alive(), "nothing kept it waiting"
        time.sleep(0.002)
    return working


# What waits, and what is to be closed afterwards.
Prepared = tuple[Callable[[], Any], Callable[[], Any]]


def nothing() -> None:
    """For what closes itself."""


def an_opening(path: Path) -> Prepared:
    return lambda: Journal(path).close(), nothing


def a_commit(path: Path) -> Prepared:
    journal = Journal(path)
    begun = Start(str(new_id()), "act", str(new_id()), clock.now().isoformat(), 0)
    return lambda: journal.begin([begun]).result(), journal.close


def a_new_file(path: Path) -> Prepared:
    file = JournalFile(path)
    return lambda: file.begin_anew("it is damaged"), file.close


def another_connection(path: Path) -> Prepared:
    file = JournalFile(path)
    return file.reopen, file.close


def a_closing(path: Path) -> Prepared:
    file = JournalFile(path)
    file.db.execute("UPDATE local_tasks SET revision = revision + 1")  # something to checkpoint
    return file.close, nothing


def a_tool(path: Path) -> Prepared:
    def write() -> None:
        with written(path) as db:
            db.execute("UPDATE local_tasks SET revision = revision + 1")

    return write, nothing


def syncer_s(path: Path) -> tuple[Reader, Marks]:
    lock = Lock(path)
    reader = Reader(path, lock)
    assert reader.is_ready()
    return reader, Marks(path, lock, reader)


def a_reader_s_closing(path: Path) -> Prepared:
    reader, _ = syncer_s(path)
    return reader.close, reader._lock.close


def a_mark(path: Path) -> Prepared:
    reader, marks = syncer_s(path)
    return lambda: marks.quarantine(1, 1, "refused"), lambda: (marks.close(), reader.close(), reader._lock.close())


def the_closing_after_a_mark(path: Path) -> Prepared:
    reader, marks = syncer_s(path)
    marks.quarantine(1, 1, "refused")
    return marks.close, lambda: (reader.close(), reader._lock.close())


@pytest.mark.parametrize(
    "prepare",
    [
        an_opening,
        a_commit,
        a_new_file,
        another_connection,
        a_closing,
        a_tool,
        a_reader_s_closing,
        a_mark,
        the_closing_after_a_mark,
    ],
)
def test_whoever_touches_the_file_waits_for_who_does(path: Path, prepare: Callable[[Path], Prepared]) -> None:
    action, close = prepare(path)
    lock = Lock(path)
    with lock:
        before = content(path)
        working = begun(path, action)
        assert content(path) == before
    working.join()
    close()
    lock.close()
    assert held(path) == []


def held(path: Path) -> list[str]:
    """Which of a journal's files this process has open."""
    found = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the listing's own
            found.append(str(descriptor.readlink()))
    return [name for name in found if name.startswith(str(path))]


def test_what_was_cut_off_is_counted_inside_the_lock(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = Lock(path)

    def opened(path: Path, *, wait: float) -> JournalFile:
        file = JournalFile(path, wait=wait)
        lock.__enter__()  # somebody comes between the opening and the counting
        return file

    monkeypatch.setattr(journals, "JournalFile", opened)
    started: list[Journal] = []
    working = begun(path, lambda: started.append(Journal(path)))
    lock.__exit__()
    working.join()
    lock.close()
    [journal] = started
    assert journal.recovered == ["1 runs were cut off when the worker died last"]
    journal.close()
    # A note that was counted is gone: the next start does not count it again.
    monkeypatch.undo()
    again = Journal(path)
    assert again.recovered == []
    again.close()


def test_a_write_that_fails_leaves_no_transaction_to_the_next(path: Path) -> None:
    reader, marks = syncer_s(path)
    with pytest.raises(sqlite3.Error):
        marks.quarantine(1, object(), "no revision")
    assert marks.synced({1: 1}, 10) == 1
    marks.close()
    reader.close()


def test_a_new_file_that_the_disk_had_no_room_for_is_filled_as_soon_as_it_has(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = JournalFile(path)

    def full(_: str) -> str:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(file, "_fill", full)
        with pytest.raises(sqlite3.OperationalError):
            file.begin_anew("it is damaged")
    file.reopen()
    assert file.db.execute("SELECT value FROM meta WHERE key = 'worker_id'").fetchall() == [(file.worker_id,)]
    assert file.db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    file.close()


def test_no_other_user_reads_a_person_s_words_or_holds_a_lock(path: Path) -> None:
    journal = Journal(path)
    files = {file.name.removeprefix(path.name): file.stat().st_mode & 0o077 for file in path.parent.iterdir()}
    journal.close()
    assert files == dict.fromkeys(["", "-wal", "-shm", ".lock", ".owner", ".running"], 0)


def test_a_disk_that_fails_is_no_word_on_the_file(path: Path) -> None:
    """Only what was read and is wrong is set aside: a good file would be lost to its tasks."""
    log = path.with_name(f"{path.name}-wal")
    log.mkdir()
    with pytest.raises(JournalUnusable, match="unable to open"):
        Journal(path)
    log.rmdir()
    journal = Journal(path)
    assert journal.recovered == ["1 runs were cut off when the worker died last"]
    journal.close()


def test_who_begins_anew_in_the_same_process_answers_the_syncer_again(path: Path) -> None:
    Journal(path).close()
    journal, client = Journal(path), Client(path)
    assert client.ask("mark", None, []) == 0
    client.close()
    journal.close()


def test_who_reads_a_file_that_is_set_aside_shares_nothing_with_the_new_one(path: Path) -> None:
    """Not its log's index either: two files would write in it."""
    file = JournalFile(path)
    with contextlib.closing(open_file(path, readonly=True)) as reading:
        assert reading.execute("SELECT count(*) FROM local_tasks").fetchone() == (1,)
        before = {name.name.removeprefix(path.name) for name in path.parent.glob(f"{path.name}-*")}
        file.begin_anew("it is damaged")
    assert before == {"-wal", "-shm"}
    aside = [name.name for name in path.parent.glob(f"{path.name}.damaged-*")]
    assert sorted(name[len(min(aside, key=len)) :] for name in aside) == ["", "-shm", "-wal"]
    file.close()


def test_a_start_that_fails_leaves_the_file_to_the_next(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one process, which tries again and again."""

    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def version(number: int) -> None:
        with written(path) as db:
            db.execute(f"PRAGMA user_version={number}")

    running = Journal(path)
    before = held(path)
    for _ in range(3):
        with pytest.raises(JournalUnusable, match="another worker"):
            Journal(path)
    assert sorted(held(path)) == sorted(before)
    running.close()
    Path(f"{path}.running").unlink()
    with monkeypatch.context() as patched:
        patched.setattr(os, "posix_fallocate", full)
        with pytest.raises(JournalUnusable, match="No space left"):
            Journal(path)
    version(99)
    with pytest.raises(JournalUnusable, match="newer version"):
        Journal(path)
    assert held(path) == []
    version(2)
    Journal(path).close()
