"""Files of the state folder that are half-written, emptied or not ours: named, and made again or refused, in one line."""

import json
import shutil
from pathlib import Path

import pytest

from emulator.process import StartError
from emulator.servers.postgres import Postgres
from emulator.state import inspection
from emulator.state.folder import State
from shared import clock
from tests.emulator.conftest import Emulator
from tests.emulator.state.made import make_state
from tests.emulator.state.test_snapshots import register

DAMAGED = ["", "{", "[1]", "null", "\x00\x01"]


@pytest.fixture
def state(tmp_path: Path) -> State:
    state = State(tmp_path)
    state.create()
    state.secret("postgres")
    return state


def inspect(state: State) -> list[str]:
    said: list[str] = []
    inspection.inspect(state, said.append)
    return said


def test_a_sound_state_says_nothing(state: State) -> None:
    inspect(state)
    assert inspect(state) == []


def test_a_new_folder_says_nothing_and_is_of_this_form(tmp_path: Path) -> None:
    state = State(tmp_path)
    state.create()
    assert inspect(state) == []
    assert json.loads((tmp_path / "state.json").read_text())["format"] == inspection.version.FORMAT


def test_what_is_sound_stays_as_it_is(state: State) -> None:
    names = ("ports.json", "samples.json", "people.json", "emulator.json")
    for name in names:
        state.write_json(name, {"gateway": 20001})
    inspect(state)
    assert inspect(state) == []
    assert all(json.loads((state.path / name).read_text()) == {"gateway": 20001} for name in names)


@pytest.mark.parametrize(("port", "good"), [(1023, False), (1024, True), (65535, True), (65536, False)])
def test_a_port_is_one_that_anybody_may_take(state: State, port: int, good: bool) -> None:
    state.write_json("ports.json", {"gateway": port})
    inspect(state)
    assert json.loads((state.path / "ports.json").read_text()) == ({"gateway": port} if good else {})


def test_a_restore_whose_plan_is_damaged_stops_the_start(state: State) -> None:
    (state.path / "restore.json").write_text("{")
    with pytest.raises(StartError, match=r"restore\.json is damaged"):
        inspect(state)


@pytest.mark.parametrize("damage", ["empty", "gone"])
@pytest.mark.parametrize("name", ["PG_VERSION", "global/pg_control"])
def test_a_cluster_without_what_it_can_not_be_without_is_refused_with_the_file(
    tmp_path: Path, name: str, damage: str
) -> None:
    state = make_state(tmp_path)
    state.secret("postgres")
    inspect(state)
    assert inspect(state) == []
    file = Postgres(state.path).cluster / name
    file.unlink()
    if damage == "empty":
        file.touch()
    with pytest.raises(
        StartError, match=rf"files of PostgreSQL are damaged \(.*{name} is missing or empty\): `eco2 snapshot"
    ):
        inspect(state)
    shutil.rmtree(Postgres(state.path).cluster)
    assert inspect(state) == [], "of a cluster that is not there yet there is nothing to look at"


def test_lost_passwords_that_can_not_be_made_anew_are_one_line_and_are_lost_still(tmp_path: Path) -> None:
    state = make_state(tmp_path)  # its cluster is none that a server can open
    state.secret("postgres")
    inspect(state)
    (state.path / "secrets.json").write_text("{")
    for _ in range(2):
        with pytest.raises(StartError, match=r"^secrets\.json is damaged, and no new password could be set: [^\n]+$"):
            inspect(state)
        assert not (state.path / "secrets.json").exists()


@pytest.mark.parametrize("text", DAMAGED)
@pytest.mark.parametrize(
    "name", ["ports.json", "samples.json", "people.json", "emulator.json", "state.json", "secrets.json"]
)
def test_what_can_be_made_again_is_named_and_made_again(state: State, name: str, text: str) -> None:
    inspect(state)
    (state.path / name).write_text(text)
    said = inspect(state)
    assert len(said) >= 1
    assert said[0].startswith(f"{name} was damaged: ")
    assert inspect(state) == []


@pytest.mark.parametrize("port", [0, -1, 80, 65536, 99999999])
def test_a_port_that_can_not_be_is_chosen_anew(state: State, port: int) -> None:
    state.write_json("ports.json", {"gateway": port, "s3": 20001})
    inspect(state)
    assert json.loads((state.path / "ports.json").read_text()) == {"s3": 20001}


@pytest.mark.parametrize("content", [b"", b"abc", b"\xff" * 8, b"\x00" * 6 + b"\xf0\x7f", b"\x00" * 6 + b"\xf0\xbf"])
def test_a_clock_that_can_not_be_is_this_machines_again(state: State, content: bytes) -> None:
    (state.path / "clock").write_bytes(content)
    assert "the clock's file was damaged: the system's time is this machine's again" in inspect(state)
    assert (state.path / "clock").read_bytes() == bytes(8)
    clock.write_offset(str(state.path / "clock"), 3600.0)
    assert inspect(state) == []


def test_a_state_of_a_newer_eco2_is_refused_in_one_line(state: State) -> None:
    state.write_json("state.json", {"format": 3, "eco2": "9.0"})
    with pytest.raises(StartError, match=r"was made by a newer Eco² \(format 3, this one reads up to 2\)"):
        inspect(state)


def test_a_state_of_0_1_0_is_brought_up_and_says_so(state: State) -> None:
    assert "the state of an older Eco² (format 1) is brought up to format 2" in inspect(state)


@pytest.mark.slow
def test_lost_passwords_and_a_lost_model_are_made_anew_and_the_data_stays(own_emulator: Emulator) -> None:
    own_emulator.up()
    with own_emulator.client() as client:
        assert register(client, "kept") == 201
    own_emulator.down()
    folder = own_emulator.folder
    (folder / "secrets.json").write_text('{"postgres": ')
    model = next((folder / "model").glob("*.onnx"))
    size = model.stat().st_size
    model.write_bytes(model.read_bytes()[: size // 2])
    (folder / "ports.json").write_text("")
    (folder / "samples.json").write_text("{")
    own_emulator.up()
    said = (folder / "logs" / "eco2.log").read_text()
    assert "secrets.json was damaged: new passwords were made" in said
    assert "ports.json was damaged" in said
    assert model.stat().st_size == size
    assert own_emulator.eco2("status").returncode == 0
    assert own_emulator.sql("SELECT count(*) FROM auth.users WHERE username = 'kept'") == "1"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["PG_VERSION", "global/pg_control", "global/pg_filenode.map", "pg_hba.conf"])
def test_damaged_files_of_postgresql_are_one_line_that_says_what_to_do(stopped: Emulator, name: str) -> None:
    file = stopped.folder / "postgres" / "cluster" / name
    file = file.resolve()
    whole = file.read_bytes()
    file.write_bytes(b"")
    try:
        refused = stopped.eco2("up", "--detach", check=False)
    finally:
        stopped.eco2("down", check=False)
        file.write_bytes(whole)
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1, refused.stderr
    assert "postgres" in refused.stderr.lower()
    assert "`eco2 snapshot restore NAME`" in refused.stderr


@pytest.mark.slow
def test_a_damaged_file_of_the_broker_is_one_line_that_says_what_to_do(stopped: Emulator) -> None:
    (file,) = (stopped.folder / "redis-broker" / "appendonlydir").glob("*.incr.aof")
    whole = file.read_bytes()
    file.write_bytes(b"*3\r\n$3\r\nSET\r\n" + whole[:20] + b"\xff" * 50 + whole)
    try:
        refused = stopped.eco2("up", "--detach", check=False)
    finally:
        stopped.eco2("down", check=False)
        file.write_bytes(whole)
    assert refused.returncode == 1
    assert refused.stderr.startswith("eco2: redis-broker did not start: files of the state are damaged")
    assert refused.stderr.count("\n") == 1


@pytest.fixture(scope="module")
def stopped(started_once: Path):  # type: ignore[no-untyped-def]  # the emulator's class is imported inside
    """A state that ran once; its emulator is stopped."""
    from tests.emulator.conftest import copied

    emulator = copied(started_once)
    try:
        emulator.up()
        emulator.down()
        yield emulator
    finally:
        emulator.destroy()
