"""What the syncer asks a worker to write: in the file that it has read, in the state that it has read, or not at all"""

import os
import socket
import sqlite3
import struct
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from runtime.journal import server
from runtime.journal.file import JournalFile
from runtime.journal.writer import JournalClosed


@pytest.fixture
def file(tmp_path: Path) -> Iterator[JournalFile]:
    """A journal with a row of revision 3 and an event, neither synced, and another row and event that are."""
    made = JournalFile(tmp_path / "worker.db")
    made.db.executemany(
        """
        INSERT INTO local_tasks (id, task_id, task_name, status, started_at, synced_to_pg, revision)
        VALUES (?, ?, 'act', 'success', 'now', ?, 3)
        """,
        [("a", "a", 0), ("b", "b", 1)],
    )
    made.db.executemany(
        "INSERT INTO local_events (id, task_id, event_type, timestamp, synced_to_pg) VALUES (?, 'a', 'started', 'now', ?)",
        [("a", 0), ("b", 1)],
    )
    yield made
    made.close()


def id_of(db: sqlite3.Connection) -> str:
    return str(db.execute("SELECT value FROM meta WHERE key = 'file_id'").fetchone()[0])


def rows(db: sqlite3.Connection) -> list[Any]:
    tasks = db.execute("SELECT id, synced_to_pg, quarantine FROM local_tasks").fetchall()
    return tasks + db.execute("SELECT id, synced_to_pg FROM local_events").fetchall()


@pytest.mark.parametrize(
    ("operation", "arguments", "changed"),
    [
        ("mark", ([(3, [1])],), 1),
        ("mark", ([(2, [1])],), 0),
        ("mark_events", (1, [1]), 1),
        ("quarantine", (1, 3, "refused"), 1),
        ("quarantine", (1, 2, "refused"), 0),
        ("drop", ("local_tasks", [1, 2]), 1),
        ("drop", ("local_events", [1, 2]), 1),
        ("drop", ("meta", [1]), 0),
    ],
)
def test_each_write_is_for_the_rows_as_they_were_read(
    file: JournalFile, operation: str, arguments: tuple[Any, ...], changed: int
) -> None:
    before, write = rows(file.db), server.OPERATIONS[operation]
    assert write(file.db, "another file", *arguments) == 0
    assert write(file.db, None, *arguments) == 0
    assert rows(file.db) == before
    assert write(file.db, id_of(file.db), *arguments) == changed
    assert (rows(file.db) != before) == (changed > 0)
    if operation == "drop":
        assert {row[0] for row in rows(file.db)} >= {"a"}, "what is not synced stays"


class From:
    """A connection whose other end is this user's."""

    def __init__(self, uid: int) -> None:
        self.uid = uid

    def getsockopt(self, *_: int) -> bytes:
        return struct.pack("3i", 7, self.uid, 7)


@pytest.mark.parametrize(("who", "let_in"), [(0, True), (1000, True), (1001, False), (7, False)])
def test_only_the_same_user_or_root_may_write_in_a_journal(
    monkeypatch: pytest.MonkeyPatch, who: int, let_in: bool
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert server._is_ours(From(who)) is let_in  # type: ignore[arg-type]  # all that is asked of it


def test_an_answer_that_comes_too_late_is_not_taken_for_the_next_one_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "worker.db"
    Path(f"{path}.lock").touch()
    answers: list[Future[Any]] = [Future(), Future()]
    asked = iter(answers)
    made, client = server.Server(path, lambda run: next(asked), lambda: 0), server.Client(path)
    with monkeypatch.context() as patched:
        patched.setattr(server, "_PATIENCE", 0.05)
        with pytest.raises(sqlite3.OperationalError, match="did not answer"):
            client.ask("mark", None, [])
    for number, answer in enumerate(answers):
        answer.set_result(number)
    assert client.ask("mark", None, []) == 1
    client.close()
    made.close()


@pytest.mark.parametrize(
    ("fault", "said"), [(JournalClosed(), None), (ValueError("a row's own"), "could not mark: ValueError: a row's own")]
)
def test_what_a_worker_could_not_do_is_an_error_and_one_that_just_ends_leaves_it_to_the_asker(
    tmp_path: Path, fault: Exception, said: str | None
) -> None:
    path = tmp_path / "worker.db"
    Path(f"{path}.lock").touch()
    answer: Future[Any] = Future()
    answer.set_exception(fault)
    made, client = server.Server(path, lambda run: answer, lambda: 0), server.Client(path)
    if said is None:
        assert client.ask("mark", None, []) is None
    else:
        with pytest.raises(sqlite3.OperationalError, match=said):
            client.ask("mark", None, [])
    client.close()
    made.close()


def test_nothing_is_said_to_a_stranger_who_sits_at_a_worker_s_door(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its name is anybody's to take on this machine; what a mark says is no one else's."""
    path = tmp_path / "worker.db"
    Path(f"{path}.lock").touch()
    monkeypatch.setattr(server, "_is_ours", lambda _: False)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as stranger:
        stranger.bind(server._address(path))
        stranger.listen()
        client = server.Client(path)
        monkeypatch.setattr(server, "_PATIENCE", 0.05)
        assert client.ask("mark", None, []) is None
        connection, _ = stranger.accept()
        with connection:
            assert connection.recv(1000) == b""
