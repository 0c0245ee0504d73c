"""A state folder that something else wrote into: what can be made anew is, and the rest is one line that says what to do."""

import json
import os
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from emulator import control
from emulator.process import Command, PortTaken, StartError, failure
from emulator.servers.s3.disk import Disk
from emulator.state.folder import State
from runtime import cli


@pytest.fixture
def state(tmp_path: Path) -> State:
    state = State(tmp_path)
    state.create()
    return state


@pytest.mark.parametrize("command", ["up", "reset --yes", "exec true"])
def test_where_others_keep_their_files_nothing_is_begun_and_nothing_is_deleted(
    tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    tmp_path.chmod(0o755)
    name, *words = command.split()
    assert cli.main([name, "--state", str(tmp_path), *words]) != 0
    said = capsys.readouterr().err
    assert "holds other files: give the state a folder of its own" in said or "is no state folder" in said
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    assert tmp_path.stat().st_mode & 0o777 == 0o755


def test_an_empty_folder_a_new_disk_and_one_cut_off_at_its_beginning_can_be_a_state(state: State) -> None:
    (state.path / "lost+found").mkdir()
    assert state.ours() is state
    assert not state.begun()
    with state.lock():
        (state.path / "notes.txt").touch()
    assert state.ours().begun()


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", '{"gateway": "x"}'])
def test_ports_are_chosen_anew(state: State, text: str) -> None:
    (state.path / "ports.json").write_text(text)
    port = state.port("gateway")
    assert State(state.path).port("gateway") == port


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"postgres": 1}'])
def test_passwords_are_never_made_anew(state: State, text: str) -> None:
    file = state.path / "secrets.json"
    file.write_text(text)
    with pytest.raises(StartError, match=r"secrets.json is damaged: put it back, or `eco2 up` makes new passwords"):
        state.secret("postgres")
    assert file.read_text() == text


@pytest.mark.parametrize("text", ["old", None], ids=["replaced", "new"])
@pytest.mark.parametrize("part", ["state", "objects"])
def test_what_is_written_is_on_the_disk_before_it_has_its_name(
    state: State, monkeypatch: pytest.MonkeyPatch, part: str, text: str | None
) -> None:
    flushed: list[tuple[bytes, str | None]] = []
    file = state.path / "kept"
    if text is not None:
        file.write_text(text)

    def flush(descriptor: int) -> None:
        place = Path(f"/proc/self/fd/{descriptor}").readlink()
        flushed.append((place.read_bytes() if place.is_file() else b"", file.read_text() if file.exists() else None))

    monkeypatch.setattr(os, "fsync", flush)
    if part == "state":
        state.write("kept", b"fresh")
    else:
        Disk.__new__(Disk)._write(file, b"fresh")  # without a store: that is a process's own
    assert flushed[0] == (b"fresh", text)
    assert file.read_text() == "fresh"
    if part == "objects":
        assert flushed[1:] == [(b"", "fresh")], "and the folder that holds its name"


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"pid": 1}'])
def test_an_emulator_that_can_not_be_asked_does_not_run(state: State, text: str) -> None:
    (state.path / control.FILE).write_text(text)
    with pytest.raises(control.NotRunning, match="nothing runs"):
        control.ask(state, "status")


def test_down_waits_for_one_that_is_just_starting(state: State, capsys: pytest.CaptureFixture[str]) -> None:
    def answer() -> None:
        """As an emulator does: it says where it listens, and is asked to stop."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            about = {"pid": gone.pid, "gateway": "", "control": server.getsockname()[1], "token": "t"}
            state.write_json(control.FILE, about)
            connection, _ = server.accept()
            with connection, connection.makefile("rb") as asked:
                stopped.append(json.loads(asked.readline())["do"])
                gone.kill()
                gone.wait()
                connection.sendall(json.dumps({"ok": True, "pid": gone.pid}).encode() + b"\n")

    stopped: list[str] = []
    gone = subprocess.Popen(["sleep", "600"])
    with state.lock(), ThreadPoolExecutor(1) as pool:
        down = pool.submit(cli.main, ["down", "--state", str(state.path)])
        with pytest.raises(TimeoutError):
            down.result(0.3)
        answer()
        assert (down.result(), stopped) == (0, ["stop"])
    assert capsys.readouterr().out == "stopped\n"


@pytest.mark.parametrize(
    ("said", "kind", "says"),
    [
        (
            'PANIC:  could not read file "global/pg_control": read 10 of 296',
            StartError,
            "files of the state are damaged",
        ),
        ('FATAL:  could not read blocks 0..0 in file "global/1260"', StartError, "`eco2 reset` begins anew"),
        ("FATAL:  database files are incompatible with server", StartError, "of another PostgreSQL"),
        ("# Bad file format reading the append only file appendonly.aof", StartError, "`eco2 snapshot restore NAME`"),
        ("FATAL: could not write: No space left on device", StartError, "did not start: the disk is full"),
        (
            'FATAL:  could not resize shared memory segment "/PostgreSQL.1" to 9 bytes: No space left on device',
            StartError,
            "shared memory (/dev/shm) has no room",
        ),
        ("FATAL: wrote only 9 of 8192 bytes\nHINT:  Check free disk space.\nPANIC: no", StartError, "the disk is full"),
        (
            "# Warning: Could not create server TCP listening socket: Address already in use",
            PortTaken,
            "the port is in use",
        ),
        ("Traceback\nValueError: it is so", StartError, "did not start (exit 1): ValueError: it is so"),
    ],
)
def test_a_known_cause_is_said_in_plain_words(state: State, said: str, kind: type[StartError], says: str) -> None:
    log = state.path / "logs" / "x.log"
    log.write_text(f"{said}\n")
    error = failure(Command("x", [], {}, log), 1)
    assert type(error) is kind
    assert says in str(error)
    assert "\n" not in str(error)
