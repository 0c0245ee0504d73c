"""A restore: nothing damaged is believed, an interrupted one is finished, and one that does not start is taken back."""

import contextlib
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from emulator.process import StartError
from emulator.servers.postgres import Postgres
from emulator.state import restore, snapshots
from emulator.state.folder import State
from shared import clock
from tests.emulator.conftest import Emulator
from tests.emulator.state.made import NAMES, contents, make_state, rewrite, save
from tests.emulator.state.test_snapshots import register


@pytest.fixture
def state(tmp_path: Path) -> State:
    return make_state(tmp_path)


def killed_after(steps: int, what: Callable[[State], object], state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    """Do it, and die before the rename of that number."""
    rename, left = Path.rename, [steps]

    def dying(self: Path, target: Path) -> Path:
        if left[0] == 0:
            raise KeyboardInterrupt
        left[0] -= 1
        return rename(self, target)

    with monkeypatch.context() as dead:
        dead.setattr(Path, "rename", dying)
        with contextlib.suppress(KeyboardInterrupt):
            what(state)


@pytest.mark.parametrize("absent", [None, "journals/j", "redis-broker/appendonlydir/a"])
def test_one_that_was_killed_in_the_middle_is_finished_at_the_next_start(
    state: State, monkeypatch: pytest.MonkeyPatch, absent: str | None
) -> None:
    save(state, "one")
    for steps in range(14):
        rewrite(state, "new")
        if absent:
            shutil.rmtree((state.path / absent).parent)
        restore.stage(state, "one")
        killed_after(steps, restore.swap, state, monkeypatch)
        assert restore.swap(state) is not None
        assert contents(state) == {"old"}, f"killed before rename {steps + 1}"
        restore.confirm(state)
        assert restore.swap(state) is None


def test_one_that_is_taken_back_brings_everything_back_however_often_it_is_killed(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(state, "one")
    for steps in range(14):
        rewrite(state, "new")
        (state.path / "samples.json").write_text("new")  # the snapshot has none
        restore.stage(state, "one")
        restore.swap(state)
        assert contents(state) == {"old"}
        assert not (state.path / "samples.json").exists()
        killed_after(steps, restore.undo, state, monkeypatch)
        restore.swap(state)
        assert contents(state) == {"new"}, f"killed before rename {steps + 1}"
        assert (state.path / "samples.json").read_text() == "new"
        assert restore.pending(state) is None


def test_half_a_swap_is_taken_back_too(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    save(state, "one")
    for steps in range(10):
        rewrite(state, "new")
        restore.stage(state, "one")
        killed_after(steps, restore.swap, state, monkeypatch)
        restore.undo(state)
        assert contents(state) == {"new"}, f"killed before rename {steps + 1}"


def around(state: State) -> set[str]:
    """What a restore has beside the live state."""
    home = Postgres(state.path).home
    found = [
        path
        for path in (state.path / "restored", state.path / "replaced", state.path / "restore.json")
        if path.exists()
    ]
    return {path.name for path in [*found, *home.glob("cluster.*")]}


@pytest.mark.parametrize("ends", [restore.confirm, restore.undo])
@pytest.mark.parametrize("first", [True, False], ids=["the first", "another"])
def test_a_restore_that_has_ended_leaves_nothing_of_itself_and_is_no_hindrance(
    state: State, ends: Callable[[State], None], first: bool
) -> None:
    save(state, "one")
    shutil.rmtree(Postgres(state.path).cluster)  # one that was never there is marked by a file
    rewrite(state, "new") if first else None
    for _ in range(2):
        restore.stage(state, "one")
        restore.swap(state)
        ends(state)
        assert around(state) == set()
        restore.undo(state)  # of none there is nothing to take back
    assert (state.path / "objects/o").read_text() == ("new" if first and ends is restore.undo else "old")


def test_one_that_is_killed_when_it_is_believed_is_not_taken_back(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(state, "one")
    rewrite(state, "new")
    restore.stage(state, "one")
    restore.swap(state)

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as dead, contextlib.suppress(KeyboardInterrupt):
        dead.setattr(restore, "_clear", dies)
        restore.confirm(state)
    restore.undo(state)
    assert contents(state) == {"old"}, "of the one before a part may be gone"


def test_what_is_staged_is_the_snapshot_s_alone_whatever_was_left_and_for_its_owner(state: State) -> None:
    (Postgres(state.path).cluster).chmod(0o755)
    (state.path / "samples.json").write_text("old")
    save(state, "one")
    home = Postgres(state.path).home
    for left in (
        state.path / "restored",
        state.path / "replaced",
        home / "cluster.restored",
        home / "cluster.replaced",
    ):
        left.mkdir()
        (left / "left").touch()
    (home / "cluster.replaced.none").touch()
    restore.stage(state, "one")
    assert around(state) == {"restored", "restore.json", "cluster.restored"}
    staged = {path.name for path in (state.path / "restored").iterdir()}
    assert staged == {"objects", "journals", "keys", "redis-broker", "samples.json"}
    assert {path.name for path in (home / "cluster.restored").iterdir()} == {"PG_VERSION", "global"}
    assert (home / "cluster.restored").stat().st_mode & 0o777 == 0o700
    uid = Postgres(state.path).uid
    assert uid is None or (home / "cluster.restored/PG_VERSION").stat().st_uid == uid
    mask = os.umask(0)
    try:
        restore.swap(state)
    finally:
        os.umask(mask)
    assert [(state.path / name).stat().st_mode & 0o777 for name in ("restored", "replaced")] == [0o700] * 2
    assert contents(state) == {"old"}


def test_a_cluster_of_another_state_is_given_this_state_s_password_and_one_of_its_own_is_left(
    state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Path] = []
    monkeypatch.setattr(Postgres, "set_superuser_password", lambda self, cluster: given.append(cluster))
    save(state, "one")
    restore.stage(state, "one")
    assert given == []
    (tmp_path / "there").mkdir()
    theirs = make_state(tmp_path / "there")
    shutil.copytree(state.path / "snapshots", theirs.path / "snapshots")
    restore.stage(theirs, "one")
    assert given == [Postgres(theirs.path).home / "cluster.restored"]


def test_one_that_can_not_be_copied_leaves_the_state_as_it_is_and_nothing_beside_it(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(state, "one")
    rewrite(state, "new")
    (state.path / "no-cp").mkdir()
    monkeypatch.setenv("PATH", str(state.path / "no-cp"))
    with pytest.raises(StartError, match=r"^one was not restored: No such file or directory; the state is as it was$"):
        restore.stage(state, "one")
    assert (contents(state), around(state)) == ({"new"}, set())


@pytest.mark.parametrize("asked", [70.0, 0.0])
def test_the_clock_is_as_far_ahead_as_is_asked_and_goes_back_to_what_it_was(state: State, asked: float) -> None:
    file = state.path / "clock"
    try:
        clock.write_offset(str(file), 100.0)
        save(state, "one")
        clock.write_offset(str(file), 500.0)
        clock.use_file(None)
        restore.stage(state, "one", ahead=asked)
        restore.swap(state)
        assert struct.unpack_from("<d", file.read_bytes())[0] == asked
        restore.undo(state)
        assert struct.unpack_from("<d", file.read_bytes())[0] == 500.0
    finally:
        clock.use_file(None)


def test_the_clock_goes_to_the_snapshot_s_and_back(state: State) -> None:
    file = state.path / "clock"

    def ahead() -> float:
        return float(struct.unpack_from("<d", file.read_bytes())[0])

    try:
        clock.write_offset(str(file), 100.0)
        save(state, "one")
        clock.write_offset(str(file), 500.0)
        restore.stage(state, "one")
        restore.swap(state)
        assert ahead() == 100.0
        restore.undo(state)
        assert ahead() == 500.0
    finally:
        clock.use_file(None)


def test_while_one_is_under_way_no_other_begins(state: State) -> None:
    save(state, "one")
    rewrite(state, "new")
    restore.stage(state, "one")
    with pytest.raises(StartError, match="another restore is under way"):
        restore.stage(state, "one")
    restore.undo(state)
    assert contents(state) == {"new"}


@pytest.mark.parametrize("name", [*NAMES, "manifest.json"])
@pytest.mark.parametrize("damage", ["one bit", "emptied", "gone"])
def test_a_damaged_snapshot_is_one_line_and_nothing_is_changed(state: State, name: str, damage: str) -> None:
    save(state, "one")
    rewrite(state, "new")
    file = snapshots.folder_of(state, "one") / name.removeprefix("postgres/")
    if damage == "gone":
        file.unlink()
    else:
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(bytes(content) if damage == "one bit" else b"")
    with pytest.raises(StartError, match=r"^the snapshot one is damaged: .*nothing was changed$"):
        restore.stage(state, "one")
    assert contents(state) == {"new"}
    assert around(state) == set()


def test_a_file_more_is_a_damage_too(state: State) -> None:
    save(state, "one")
    (snapshots.folder_of(state, "one") / "cluster" / "extra").write_text("x")
    with pytest.raises(StartError, match="1 of its 6 files are missing or not what was saved, first cluster/extra"):
        restore.stage(state, "one")


def test_one_of_a_newer_eco2_is_refused_by_its_version(state: State) -> None:
    save(state, "one")
    about = snapshots.folder_of(state, "one") / "about.json"
    about.write_text(about.read_text().replace('"format": 2', '"format": 3'))
    with pytest.raises(StartError, match=r"was made by a newer Eco² \(format 3, this one reads up to 2\): update this"):
        restore.stage(state, "one")


def test_a_plan_that_can_not_be_read_stops_the_start(state: State) -> None:
    (state.path / "restore.json").write_text("{")
    with pytest.raises(StartError, match=r"restore.json is damaged, and a restore was under way"):
        restore.swap(state)


def test_a_failed_save_leaves_the_older_one_of_its_name(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    save(state, "one")
    rewrite(state, "new")
    fresh = snapshots.begin(state, "one")
    empty = state.path / "no-cp"
    empty.mkdir()
    monkeypatch.setenv("PATH", str(empty))
    with pytest.raises(
        StartError, match=r"^the snapshot was not saved: No such file or directory; older ones are as they were$"
    ):
        snapshots.copy(state, fresh)
    monkeypatch.undo()
    assert not fresh.exists()
    fresh = snapshots.begin(state, "one")
    (fresh / "manifest.json").mkdir()  # so that it can't be written
    with pytest.raises(StartError, match=r"^the snapshot was not saved: Is a directory; older ones are as they were$"):
        snapshots.finish(state, fresh, "one")
    assert not fresh.exists()
    restore.stage(state, "one")
    restore.swap(state)
    assert contents(state) == {"old"}


def spoil(emulator: Emulator, name: str) -> None:
    """Make a snapshot that is whole by its manifest, and that PostgreSQL can't start on."""
    from emulator.state import manifest

    folder = emulator.folder / "snapshots" / name
    for wal in (folder / "cluster" / "pg_wal").glob("0*"):
        wal.write_bytes(bytes(wal.stat().st_size))
    control = folder / "cluster" / "global" / "pg_control"
    control.write_bytes(bytes(reversed(control.read_bytes())))
    manifest.write(folder, manifest.msgspec.json.decode((folder / manifest.FILE).read_bytes())["about"])


@pytest.mark.slow
def test_a_state_that_does_not_start_is_given_back_whether_the_system_runs_or_not(own_emulator: Emulator) -> None:
    own_emulator.up()
    with own_emulator.client() as client:
        assert register(client, "before") == 201
        own_emulator.eco2("snapshot", "save", "broken")
        spoil(own_emulator, "broken")
        assert register(client, "present") == 201
        refused = own_emulator.eco2("snapshot", "restore", "broken", "--yes", check=False)
        assert refused.returncode == 1
        assert "the system did not start on it: postgres" in refused.stderr
        assert refused.stderr.endswith("; the state is as it was\n")
        assert own_emulator.sql("SELECT count(*) FROM auth.users WHERE username = 'present'") == "1"
        assert own_emulator.eco2("status").returncode == 0
    own_emulator.down()
    assert "comes back if it does not" in own_emulator.eco2("snapshot", "restore", "broken", "--yes").stdout
    refused = own_emulator.eco2("up", "--detach", "--port", str(own_emulator.port), check=False)
    assert (refused.returncode, "the state before is back, and `eco2 up` starts it" in refused.stderr) == (1, True)
    own_emulator.up()
    assert own_emulator.sql("SELECT count(*) FROM auth.users WHERE username = 'present'") == "1"
