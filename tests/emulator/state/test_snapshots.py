"""Snapshots: what was, is again; and a save that fails harms nothing."""

import contextlib
import os
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest

from emulator.process import StartError
from emulator.state import snapshots
from emulator.state.folder import State
from tests.emulator.conftest import ROOT, Emulator


def psql(emulator: Emulator, statement: str) -> str:
    words = [
        sys.executable,
        "-m",
        "runtime.cli",
        "psql",
        "--state",
        str(emulator.folder),
        "migrator",
        "-tAc",
        statement,
    ]
    return subprocess.run(words, capture_output=True, text=True, cwd=ROOT, timeout=30, check=True).stdout.strip()


def register(client: httpx.Client, name: str) -> int:
    person = {"username": name, "email": f"{name}@example.com", "password": "correct horse"}
    return client.post("/api/v1/auth/register", json=person).status_code


def test_a_restore_brings_back_what_was_saved_under_load_and_forgets_the_rest(emulator: Emulator) -> None:
    stop = threading.Event()
    accepted: list[str] = []

    def load() -> None:
        with emulator.client() as client:
            number = 0
            while not stop.is_set():
                number += 1
                if register(client, f"load-{number}") == 201:
                    accepted.append(f"load-{number}")

    with emulator.client() as client:
        assert register(client, "before") == 201
        thread = threading.Thread(target=load)
        thread.start()
        try:
            emulator.eco2("snapshot", "save", "one")
            saved = list(accepted)
        finally:
            stop.set()
            thread.join()
        assert register(client, "after") == 201
        emulator.eco2("snapshot", "restore", "one")
        names = set(psql(emulator, "SELECT username FROM auth.users").split())
        assert "before" in names
        assert "after" not in names
        # Everything answered before the save began is in it, and nothing is half there.
        assert len(saved) < 2 or saved[0] in names
        assert {part["state"] for part in emulator.about["parts"]} == {"ready"}
        assert register(client, "after") == 201
    assert emulator.eco2("snapshot", "list").stdout.startswith("one ")


def test_a_snapshot_travels_to_a_colleague_with_other_passwords(
    emulator: Emulator, own_emulator: Emulator, tmp_path: Path
) -> None:
    with emulator.client() as client:
        register(client, "traveller")
    file = tmp_path / "trip.tar.gz"
    emulator.eco2("export", str(file))
    assert file.stat().st_mode & 0o077 == 0
    assert "export-" not in emulator.eco2("snapshot", "list").stdout
    own_emulator.up()
    own_emulator.down()
    assert "eco2 snapshot restore trip" in own_emulator.eco2("import", str(file)).stdout
    own_emulator.eco2("snapshot", "restore", "trip")
    own_emulator.up()
    assert psql(own_emulator, "SELECT count(*) FROM auth.users WHERE username = 'traveller'") == "1"
    with own_emulator.client() as client:
        login = {"username": "traveller", "password": "correct horse"}
        assert client.post("/api/v1/auth/login", json=login).status_code == 200


def test_one_snapshot_is_exported_by_name_and_what_is_no_export_is_refused(tmp_path: Path) -> None:
    state = make_state(tmp_path)
    save(state, "one")
    emulator = Emulator(state.path)
    file = tmp_path / "one.tar.gz"
    emulator.eco2("export", str(file), "--snapshot", "one")
    emulator.eco2("snapshot", "import", str(file), "two")
    assert {about["name"] for about in snapshots.every(state)} == {"one", "two"}
    (tmp_path / "other").write_text("no archive")
    refused = emulator.eco2("import", str(tmp_path / "other"), check=False)
    assert (refused.returncode, "is no exported snapshot" in refused.stderr) == (1, True)
    missing = emulator.eco2("import", str(tmp_path / "centres"), check=False)
    assert (missing.returncode, "no such file" in missing.stderr) == (2, True)


def test_an_export_is_closed_to_others_while_it_is_written(tmp_path: Path) -> None:
    state = make_state(tmp_path)
    save(state, "one")
    (state.path / "snapshots" / "one" / "noise").write_bytes(os.urandom(20_000_000))
    writing = threading.Thread(target=snapshots.export, args=(state, "one", tmp_path / "one.tar.gz"))
    writing.start()
    seen = set()
    while writing.is_alive():
        for path in tmp_path.glob("*.part"):
            with contextlib.suppress(FileNotFoundError):
                seen.add(path.stat().st_mode & 0o777)
    writing.join()
    assert seen == {0o600}
    assert (tmp_path / "one.tar.gz").stat().st_mode & 0o777 == 0o600


def test_a_snapshots_name_is_not_taken_for_the_emulators(tmp_path: Path) -> None:
    state = make_state(tmp_path)
    save(state, "one")
    words = [sys.executable, "-m", "runtime.cli", "snapshot", "delete", "one"]
    environ = os.environ | {"ECO2_STATE": str(state.path)}
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, env=environ, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (0, "one is deleted\n"), done.stderr


def make_state(tmp_path: Path) -> State:
    """A state folder with something in each place, and no servers."""
    state = State(tmp_path / "state")
    state.create()
    for name in ("postgres/cluster", "objects", "journals", "keys", "redis-broker"):
        (state.path / name).mkdir(parents=True, exist_ok=True)
    for name in ("postgres/cluster/PG_VERSION", "objects/o", "journals/j", "keys/k", "redis-broker/appendonly.aof"):
        (state.path / name).write_text("old")
    (state.path / "clock").write_bytes(bytes(8))
    return state


def save(state: State, name: str) -> None:
    fresh = snapshots.begin(state, name)
    snapshots.copy(state, fresh)
    snapshots.finish(state, fresh, name)


def contents(state: State) -> set[str]:
    names = ("postgres/cluster/PG_VERSION", "objects/o", "journals/j", "keys/k", "redis-broker/appendonly.aof")
    return {(state.path / name).read_text() for name in names}


def rewrite(state: State, text: str) -> None:
    for name in ("postgres/cluster/PG_VERSION", "objects/o", "journals/j", "keys/k", "redis-broker/appendonly.aof"):
        (state.path / name).write_text(text)


def test_a_restore_that_was_killed_in_the_middle_is_finished_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = make_state(tmp_path)
    save(state, "one")
    rename = Path.rename
    for steps in range(12):
        rewrite(state, "new")
        snapshots.stage(state, "one")
        left = [steps]

        def dying(self: Path, target: Path, left: list[int] = left) -> Path:
            if left[0] == 0:
                raise KeyboardInterrupt
            left[0] -= 1
            return rename(self, target)

        with monkeypatch.context() as dead:
            dead.setattr(Path, "rename", dying)
            with contextlib.suppress(KeyboardInterrupt):
                snapshots.swap(state)
        snapshots.swap(state)
        assert contents(state) == {"old"}, f"killed before rename {steps + 1}"
        assert not snapshots.swap(state)


def test_a_failed_save_leaves_the_older_one_of_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = make_state(tmp_path)
    save(state, "one")
    rewrite(state, "new")
    fresh = snapshots.begin(state, "one")
    empty = tmp_path / "no-cp"
    empty.mkdir()
    monkeypatch.setenv("PATH", str(empty))
    with pytest.raises((StartError, OSError)):
        snapshots.copy(state, fresh)
    monkeypatch.undo()
    snapshots.stage(state, "one")
    snapshots.swap(state)
    assert contents(state) == {"old"}


def test_a_name_cannot_leave_the_folder_and_an_unknown_one_is_told(tmp_path: Path) -> None:
    state = make_state(tmp_path)
    for name in ("../x", "", ".new-x", "a/b"):
        with pytest.raises(StartError, match="no name"):
            snapshots.check_name(name)
    save(state, "one")
    with pytest.raises(StartError, match="there is no snapshot two; there are one"):
        snapshots.folder_of(state, "two")


def test_frozen_processes_stand_still_and_go_on() -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as child:
        frozen = snapshots.freeze([child.pid])
        assert Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
        snapshots.thaw(frozen)
        assert os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG) is None
        child.kill()
