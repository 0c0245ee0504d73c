"""The state folder by itself: whose it is, what others may read of it, and what is kept in it from one run to the next"""

import fcntl
import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from emulator.process import StartError, free_port, state_of
from emulator.state import freeze, inspection, manifest, restore, snapshots, version
from emulator.state.folder import State, default_state
from runtime.services import ROOT, load_services
from shared import clock
from tests.emulator.state.made import make_state, save
from tests.runtime.owner import eventually


@pytest.fixture
def state(tmp_path: Path) -> State:
    made = State(tmp_path / "state")
    made.create()
    return made


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_others_pass_through_to_the_database_alone_and_read_nothing(state: State) -> None:
    state.path.chmod(0o777)
    (state.path / "objects").chmod(0o777)
    state.create()
    assert mode(state.path) == 0o711
    assert {path.name: mode(path) for path in state.path.iterdir()} == dict.fromkeys(
        ("logs", "objects", "journals"), 0o700
    )
    state.write("kept", b"x")
    state.secret("postgres")
    with state.lock(), state.held("step"):
        files = [path for path in state.path.iterdir() if path.is_file()]
        assert {path.name: mode(path) for path in files} == dict.fromkeys(
            ("kept", "secrets.json", "lock", "step.lock"), 0o600
        )


def test_a_folder_that_can_not_be_written_is_said_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartError, match=r"^the state folder .*/file/state cannot be written: Not a directory$"):
        State(tmp_path / "file" / "state").create()


def test_one_emulator_has_the_folder_and_who_comes_second_hears_which_one(state: State) -> None:
    assert state.holder() is None
    with state.lock():
        assert state.holder() == os.getpid()
        with pytest.raises(StartError, match=rf"is in use by a running emulator \(pid {os.getpid()}\)"), state.lock():
            raise AssertionError("two have it")
        assert state.holder() == os.getpid()
        (state.path / "lock").write_text("1234567890\nand more")
        assert state.holder() == 0, "who it is can't be read"
    with (state.path / "lock").open() as another:
        fcntl.flock(another, fcntl.LOCK_SH)  # who looks at the same moment
        assert state.holder() is None
    with state.lock():
        assert (state.path / "lock").read_text() == f"{os.getpid()}\n", "nothing of the one before is left"


def test_who_wants_to_be_alone_with_a_thing_waits_for_who_is(state: State) -> None:
    order: list[str] = []

    def second() -> None:
        with state.held("step"):
            order.append("second")

    inode = 0
    with state.held("step"), state.held("another"):
        inode = (state.path / "step.lock").stat().st_ino
        waiting = threading.Thread(target=second)
        waiting.start()
        while not any("->" in line and f":{inode} " in line for line in Path("/proc/locks").read_text().splitlines()):
            assert waiting.is_alive(), "nothing kept it waiting"
        order.append("first")
    waiting.join()
    assert order == ["first", "second"]


def test_what_can_not_be_written_leaves_what_was_and_no_half_file(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    state.write("kept", b"before")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        state.write("kept", b"after")
    assert [path.name for path in state.path.iterdir() if path.is_file()] == ["kept"]
    assert (state.path / "kept").read_bytes() == b"before"
    state.write("kept", b"after", durable=False)
    assert (state.path / "kept").read_bytes() == b"after"


def test_a_password_is_made_once_each_its_own(state: State) -> None:
    made = state.passwords()
    assert {"postgres", "migrator"} < made.keys()
    assert {service.database.role for service in load_services().values()} < made.keys()
    assert len(set(made.values())) == len(made)
    assert min(map(len, made.values())) >= 32
    assert State(state.path).passwords() == made == json.loads((state.path / "secrets.json").read_text())


@pytest.mark.parametrize(
    ("kept", "needed", "sound"),
    [
        (None, (), True),
        (None, ("postgres",), False),
        ("{", (), False),
        ('{"postgres": "x"}', ("postgres",), True),
        ('{"postgres": ""}', ("postgres",), False),
        ('{"postgres": "x"}', ("postgres", "migrator"), False),
    ],
)
def test_passwords_are_sound_when_those_that_are_needed_are_there(
    state: State, kept: str | None, needed: tuple[str, ...], sound: bool
) -> None:
    if kept is not None:
        (state.path / "secrets.json").write_text(kept)
    assert state.secrets_are_sound(needed) is sound


def test_each_part_keeps_its_port_and_no_two_have_one(state: State) -> None:
    wanted = free_port()
    ports = state.ports({"a": None, "b": wanted, "c": None})
    assert ports["b"] == wanted
    assert len(set(ports.values())) == 3
    assert State(state.path).ports(dict.fromkeys("abc")) == ports
    assert state.port("a", wanted) not in (wanted, ports["c"]), "it is another's"
    assert json.loads((state.path / "ports.json").read_text()).keys() == {"a", "b", "c"}


def test_the_folder_is_the_checkout_s_or_a_named_one_or_the_one_of_the_environment() -> None:
    assert default_state({}) == default_state({"ECO2_STATE": ""}) == ROOT / ".eco2"
    assert default_state({"ECO2_STATE": "/elsewhere"}) == Path("/elsewhere")
    assert default_state({"ECO2_STATE": "/elsewhere"}, "two") == ROOT / ".eco2" / "named" / "two"


@pytest.mark.parametrize(("found", "form"), [(None, 1), (1, 1), (version.FORMAT, version.FORMAT)])
def test_a_form_is_the_first_where_nothing_says_so(found: Any, form: int) -> None:
    assert version.check(found, "it") == form
    assert version.mark()["format"] == version.FORMAT


@pytest.mark.parametrize("found", [0, -1, True, "2", 1.0])
def test_a_form_that_does_not_exist_is_a_damage(found: Any) -> None:
    with pytest.raises(StartError, match="a format that does not exist"):
        version.check(found, "it")


def test_children_stand_still_with_their_parents_and_go_on_with_them() -> None:
    nested = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {!r}]); print(flush=True); time.sleep(600)"
    program = nested.format("import time; time.sleep(600)")
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, start_new_session=True) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        family = list(freeze.family(parent.pid))
        try:
            assert len(family) == 2
            assert freeze.freeze([parent.pid, 2**22]) == family, "one that has gone is left out"
            assert [state_of(pid) for pid in family] == ["standing", "standing"]
            freeze.thaw([*family, 2**22])
            eventually(lambda: [state_of(pid) for pid in family] == ["runs", "runs"])
        finally:
            os.killpg(parent.pid, 9)


@pytest.mark.parametrize("change", ["about", "folders", "files", "hash"])
def test_a_list_that_was_changed_by_hand_is_not_believed(tmp_path: Path, change: str) -> None:
    state = make_state(tmp_path)
    save(state, "one")
    folder = snapshots.folder_of(state, "one")
    found = json.loads((folder / manifest.FILE).read_text())
    found[change] = "0" * 64 if change == "hash" else [] if change == "folders" else {}
    (folder / manifest.FILE).write_text(json.dumps(found))
    with pytest.raises(StartError, match="its manifest is not what was written"):
        manifest.check(folder, "it")


def test_a_folder_that_is_gone_is_a_damage_although_it_held_no_file(tmp_path: Path) -> None:
    state = make_state(tmp_path)
    (state.path / "objects" / "empty").mkdir()
    save(state, "one")
    folder = snapshots.folder_of(state, "one")
    assert manifest.check(folder, "it")["name"] == "one"
    (folder / "objects" / "empty").rmdir()
    with pytest.raises(StartError, match="first objects/empty; nothing was changed"):
        manifest.check(folder, "it")


def test_everything_that_is_a_state_s_is_in_a_snapshot_and_comes_back(tmp_path: Path) -> None:
    state = make_state(tmp_path)
    (state.path / "redis-broker" / "appendonly.aof").write_text("old")
    for name in ("samples.json", "people.json"):
        (state.path / name).write_text("old")
    save(state, "one")
    about = json.loads((snapshots.folder_of(state, "one") / "about.json").read_text())
    files = [path for path in snapshots.folder_of(state, "one").rglob("*") if path.is_file()]
    assert about["bytes"] == sum(
        path.stat().st_size for path in files if path.name not in ("about.json", "manifest.json")
    )
    assert about["superuser"] == snapshots.mark(state)
    for name in snapshots.KEPT:
        assert (snapshots.folder_of(state, "one") / name).exists(), name
        for file in (state.path / name).rglob("*") if (state.path / name).is_dir() else [state.path / name]:
            file.write_text("new")
    restore.stage(state, "one")
    restore.swap(state)
    for name in snapshots.KEPT:
        found = [file for file in (state.path / name, *(state.path / name).rglob("*")) if file.is_file()]
        assert {file.read_text() for file in found} == {"old"}, name
    restore.confirm(state)
    left = [path.name for path in state.path.iterdir() if path.name.startswith(("restore", "replaced"))]
    assert left + [path.name for path in (state.path / "postgres").iterdir()] == ["cluster"]


def test_snapshots_are_listed_newest_first_and_damaged_ones_last(tmp_path: Path) -> None:
    state = make_state(tmp_path)
    for name in ("b", "c", "a"):
        save(state, name)
    (state.path / "snapshots" / "c" / "about.json").write_text("{")
    (state.path / "snapshots" / ".new-d").mkdir()
    assert [about["name"] for about in snapshots.every(state)] == ["a", "b", "c"]
    assert [about.get("damaged", False) for about in snapshots.every(state)] == [False, False, True]
    snapshots.delete(state, "c")
    assert [about["name"] for about in snapshots.every(state)] == ["a", "b"]
    (state.path / "snapshots" / ".new-d" / "left").touch()
    assert list(snapshots.begin(state, "d").iterdir()) == [], "of one that failed nothing is left"


@pytest.mark.parametrize(
    ("offset", "sound"),
    [(0.0, True), (10 * 366 * 86400.0, True), (-1.0, False), (10 * 366 * 86400.0 + 1, False), (float("nan"), False)],
)
def test_a_clock_that_no_one_has_set_is_this_machine_s_again(state: State, offset: float, sound: bool) -> None:
    said: list[str] = []
    try:
        clock.write_offset(str(state.path / "clock"), offset)
        inspection._clock(state, said.append)
        clock.use_file(str(state.path / "clock"))
        assert clock.offset() == (offset if sound else 0.0)
    finally:
        clock.use_file(None)
    assert len(said) == (0 if sound else 1)


def test_only_ports_that_anybody_may_have_are_kept(state: State) -> None:
    state.write_json("ports.json", {"a": 1023, "b": 1024, "c": 65535, "d": 65536})
    said: list[str] = []
    inspection._ports(state, said.append)
    assert (state.read_json("ports.json", dict[str, int]), len(said)) == ({"b": 1024, "c": 65535}, 1)
    inspection._ports(state, said.append)
    assert len(said) == 1
