"""Snapshots: what was, is again; and a save that fails harms nothing."""

import contextlib
import json
import os
import shutil
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

from emulator.commands.snapshot import ask_or_do
from emulator.process import StartError
from emulator.servers.postgres import Postgres
from emulator.state import archive, freeze, snapshots
from emulator.state.folder import State
from tests.emulator.conftest import ROOT, Emulator
from tests.emulator.state.made import make_state, rewrite, save


def register(client: httpx.Client, name: str) -> int:
    person = {"username": name, "email": f"{name}@example.com", "password": "correct horse"}
    return client.post("/api/v1/auth/register", json=person).status_code


@pytest.mark.slow
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
            while not accepted:
                time.sleep(0.05)
            saved = list(accepted)
            emulator.eco2("snapshot", "save", "one")
        finally:
            stop.set()
            thread.join()
        assert register(client, "after") == 201
        assert emulator.eco2("snapshot", "restore", "one", check=False).stdout.endswith("nothing was restored\n")
        emulator.eco2("snapshot", "restore", "one", "--yes")
        names = set(emulator.sql("SELECT username FROM auth.users").split())
        assert "before" in names
        assert "after" not in names
        # Everything answered before the save began is in it, and nothing is half there.
        assert set(saved) <= names
        assert {part["state"] for part in emulator.about["parts"]} == {"ready"}
        assert register(client, "after") == 201
    assert emulator.eco2("snapshot", "list").stdout.startswith("one ")


@pytest.mark.slow
def test_a_snapshot_travels_to_a_colleague_with_other_passwords(
    emulator: Emulator, new_emulator: Emulator, tmp_path: Path
) -> None:
    with emulator.client() as client:
        register(client, "traveller")
    file = tmp_path / "trip.tar.gz"
    emulator.eco2("export", str(file))
    assert file.stat().st_mode & 0o077 == 0
    assert "export-" not in emulator.eco2("snapshot", "list").stdout
    new_emulator.up()
    new_emulator.down()
    assert "eco2 snapshot restore trip" in new_emulator.eco2("import", str(file)).stdout
    new_emulator.eco2("snapshot", "restore", "trip", "--yes")
    new_emulator.up()
    assert new_emulator.sql("SELECT count(*) FROM auth.users WHERE username = 'traveller'") == "1"
    with new_emulator.client() as client:
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
    assert (refused.returncode, "is not an export" in refused.stderr) == (1, True)
    missing = emulator.eco2("import", str(tmp_path / "centres"), check=False)
    assert (missing.returncode, "no such file" in missing.stderr) == (2, True)


def test_an_export_is_closed_to_others_while_it_is_written(tmp_path: Path) -> None:
    state = make_state(tmp_path)
    (state.path / "objects" / "noise").write_bytes(os.urandom(20_000_000))
    save(state, "one")
    writing = threading.Thread(target=archive.export, args=(state, "one", tmp_path / "one.tar.gz"))
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


def test_a_name_cannot_leave_the_folder_and_an_unknown_one_is_told(tmp_path: Path) -> None:
    state = make_state(tmp_path)
    with pytest.raises(StartError, match="there is no snapshot two; there are none yet"):
        snapshots.folder_of(state, "two")
    for name in ("../x", "", ".new-x", "a/b"):
        with pytest.raises(StartError, match="can't be a snapshot's name"):
            snapshots.check_name(name)
    save(state, "one")
    with pytest.raises(StartError, match="there is no snapshot two; there are one"):
        snapshots.folder_of(state, "two")


def test_a_save_that_ends_between_its_two_renames_leaves_the_older_snapshot(tmp_path: Path) -> None:
    state = make_state(tmp_path)
    save(state, "one")
    folder = state.path / "snapshots"
    (folder / "one").rename(folder / ".old-one")
    assert [about["name"] for about in snapshots.every(state)] == ["one"]
    archive.export(state, "one", tmp_path / "one.tar.gz")
    rewrite(state, "new")
    save(state, "one")
    assert (folder / "one" / "objects" / "o").read_text() == "new"
    assert [path.name for path in folder.iterdir()] == ["one"]


def test_a_save_begins_with_nothing_and_leaves_nothing_beside_its_snapshot(tmp_path: Path) -> None:
    state = make_state(tmp_path)
    folder = state.path / "snapshots"
    (folder / ".new-one").mkdir(parents=True)
    (folder / ".new-one/left").touch()
    save(state, "one")
    assert not (folder / "one/left").exists()
    shutil.copytree(folder / "one", folder / ".old-one")  # of a save that was killed after its second rename
    rewrite(state, "new")
    save(state, "one")
    assert (folder / "one/objects/o").read_text() == "new"
    assert [path.name for path in folder.iterdir()] == ["one"]


@pytest.mark.parametrize("name", ["cluster/PG_VERSION", "cluster/global/pg_control", "keys/signing.json"])
def test_one_of_the_first_form_has_to_have_what_no_state_is_without(tmp_path: Path, name: str) -> None:
    state = make_state(tmp_path)
    save(state, "one")
    folder = snapshots.folder_of(state, "one")
    about = json.loads((folder / "about.json").read_text())
    (folder / "about.json").write_text(json.dumps(about | {"format": 1}))
    (folder / "objects/o").write_text("other")
    with pytest.raises(StartError, match="it is damaged: 1 of its"):  # one that lists its files is believed by the list
        snapshots.check(folder, "it")
    (folder / "manifest.json").unlink()
    assert snapshots.check(folder, "it")["bytes"] == about["bytes"]
    (folder / name).unlink()
    with pytest.raises(StartError, match=f"^it is damaged: {name} is missing; nothing was changed$"):
        snapshots.check(folder, "it")


def test_why_something_was_not_copied_is_the_last_line_of_the_program_or_the_system_s_word() -> None:
    ended = subprocess.CalledProcessError(1, "cp", stderr="cp: first\ncp: disk is full\n")
    assert snapshots.reason(ended) == "cp: disk is full"
    assert snapshots.reason(subprocess.CalledProcessError(1, ["cp"])).endswith("returned non-zero exit status 1.")
    assert snapshots.reason(OSError(28, "No space left on device", "/x")) == "No space left on device"
    assert snapshots.reason(OSError("cut off")) == "cut off"


def test_a_deleted_snapshot_does_not_come_back_as_the_one_before_it(tmp_path: Path) -> None:
    state = make_state(tmp_path)
    save(state, "one")
    # What a later save would have removed.
    shutil.copytree(state.path / "snapshots" / "one", state.path / "snapshots" / ".old-one")
    snapshots.delete(state, "one")
    assert snapshots.every(state) == []
    save(state, "one")
    (state.path / "snapshots" / "one").rename(state.path / "snapshots" / ".old-one")
    snapshots.delete(state, "one")
    assert snapshots.every(state) == []


def test_frozen_processes_stand_still_and_go_on() -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as child:
        frozen = freeze.freeze([child.pid])
        assert Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
        freeze.thaw(frozen)
        assert os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG) is None
        child.kill()


def test_a_snapshot_of_a_running_server_does_not_say_that_it_runs(tmp_path: Path) -> None:
    state = make_state(tmp_path)
    (Postgres(state.path).cluster / "postmaster.pid").write_text("1\n")
    save(state, "one")
    assert (state.path / "snapshots" / "one" / "cluster" / "PG_VERSION").exists()
    assert not (state.path / "snapshots" / "one" / "cluster" / "postmaster.pid").exists()


def test_a_snapshot_is_on_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state, told = make_state(tmp_path), tmp_path / "told"
    place = state.path / "snapshots/one"
    program = tmp_path / "bin/sync"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\n[ -e "{place}" ] && echo late >> {told}\necho "$@" >> {told}\nls "$2" >> {told}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    save(state, "one")
    options, *there = told.read_text().splitlines()
    assert options == f"-f {place.with_name('.new-one')}", "of this file system alone"
    assert sorted(there) == sorted(path.name for path in place.iterdir()), "all of it"


def test_a_snapshot_leaves_out_the_log_that_is_only_kept_to_be_written_later(tmp_path: Path) -> None:
    state = make_state(tmp_path)
    log = Postgres(state.path).cluster / "pg_wal"
    log.mkdir(exist_ok=True)
    size = 1 << 24
    # As pages begin: 8 bytes of kind and timeline, then where in the log they are.
    for name, begins in (("FE", 0xFE * size), ("FF", 0xFF * size), ("100", 1 << 32), ("101", 0xFD * size)):
        high, low = divmod(int(name, 16), 0x100)
        with (log / f"00000001{high:08X}{low:08X}").open("wb") as file:
            file.write(struct.pack("=8xQ", begins))
            file.truncate(size)
    (log / "00000001.history").write_text("a line")
    save(state, "one")
    kept = {path.name for path in (state.path / "snapshots" / "one" / "cluster" / "pg_wal").iterdir()}
    full = {f"00000001{high:08X}{low:08X}" for high, low in ((0, 0xFE), (0, 0xFF), (1, 0))}
    assert kept == {"00000001.history", *full}


@pytest.mark.parametrize("action", ["save", "restore"])
def test_of_an_emulator_that_is_just_starting_nothing_is_saved_and_nothing_swapped(tmp_path: Path, action: str) -> None:
    state = make_state(tmp_path)
    save(state, "before")
    with state.lock(), pytest.raises(StartError, match="is in use by a running emulator"):
        ask_or_do(state, action, "before")
    assert not (state.path / "restore.json").exists()


@pytest.mark.parametrize("action", ["save", "restore"])
def test_where_nothing_was_ever_up_there_is_nothing_to_save_and_it_is_said(tmp_path: Path, action: str) -> None:
    with pytest.raises(StartError, match="has no state yet; `eco2 up` makes it"):
        ask_or_do(State(tmp_path), action, "before")
    assert list(tmp_path.iterdir()) == []
