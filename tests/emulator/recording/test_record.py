"""What is recorded, and what becomes of a recording when its emulator ends."""

import json
import os
import signal
import threading
from pathlib import Path

import pytest

from emulator.process import CalledWrongly, StartError
from emulator.recording import folder as recordings
from emulator.recording import form, opened
from emulator.recording.form import Answer, Body, Exchange, Log
from emulator.recording.recorder import finish_left
from emulator.state import version
from emulator.state.folder import State
from tests import web
from tests.emulator.conftest import Emulator
from tests.emulator.recording.scenes import Visitor


@pytest.mark.slow
def test_every_request_is_in_it_with_its_statements_and_tasks(own_emulator: Emulator) -> None:
    emulator = own_emulator.up()
    person = Visitor(emulator.url)
    person.register()
    assert emulator.eco2("record", "on", "one").stdout.startswith("recording one")
    person.log_in()
    person.photograph()
    with web.Client(base_url=emulator.url) as client:
        assert client.get("/nowhere").status_code == 404
        client.get("/_emulator/")  # the dashboard's own pages are not
    said = emulator.eco2("record", "off").stdout
    assert said.startswith("one: 7 requests")
    folder = emulator.folder / "recordings" / "one"
    exchanges = form.read_exchanges(folder)
    assert [exchange.to for exchange in exchanges].count("s3") == 1
    stored = next(exchange for exchange in exchanges if exchange.to == "s3")
    assert b"Kim Mina" in form.content_of(folder, stored.body), "the photograph as it was sent"
    accepted = next(e for e in exchanges if e.method == "POST" and e.path.endswith("/analyses"))
    spans = form.read_spans(folder)[accepted.trace]
    assert {"gateway", "server", "sql", "enqueue", "publish", "journal", "task", "result", "s3"} <= {
        s.kind for s in spans
    }
    assert "waste/photo_classified" in {span.name for span in spans if span.kind == "result"}, "the last of its work"
    about = json.loads((folder / "about.json").read_text())
    assert (about["ended"], about["requests"], about["spans_lost"]) == ("off", 7, 0)
    assert (folder / "snapshot" / "cluster" / "PG_VERSION").exists()


@pytest.mark.slow
def test_no_request_falls_between_the_state_and_the_log(own_emulator: Emulator) -> None:
    """Each person is in the state at the beginning, or their registration is in the log: never in neither, never in both."""
    emulator = own_emulator.up()
    made: list[str] = []
    enough = threading.Event()

    def register(name: str) -> None:
        number = 0
        while not enough.is_set():
            number += 1
            Visitor(emulator.url, f"{name}{number}", f"{name}{number}@example.com").register()
            made.append(f"{name}{number}")

    threads = [threading.Thread(target=register, args=(name,)) for name in ("kim", "lee", "park")]
    for thread in threads:
        thread.start()
    try:
        emulator.wait(lambda: len(made) > 3)
        emulator.eco2("record", "on", "busy")
        count = len(made)
        emulator.wait(lambda: len(made) > count + 3)
        emulator.eco2("record", "off")
    finally:
        enough.set()
        for thread in threads:
            thread.join()
    done = emulator.eco2("replay", "busy", check=False, timeout=400)
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_a_killed_emulators_recording_counts_as_far_as_it_came(own_emulator: Emulator) -> None:
    emulator = own_emulator.up()
    emulator.eco2("record", "on", "cut")
    Visitor(emulator.url).register()
    # A kill in the midst of a request's work would leave out what the replay does.
    emulator.wait(lambda: emulator.sql("SELECT count(*) FROM auth.outbox") == "0")
    os.kill(emulator.about["pid"], signal.SIGKILL)
    emulator.wait(lambda: emulator.eco2("status", check=False).returncode == 3)
    with (emulator.folder / "recordings" / "cut" / "requests.jsonl").open("ab") as log:
        log.write(b'{"id": "half of a li')
    emulator.up()
    assert "ended with a killed emulator" in emulator.eco2("record", "list").stdout
    done = emulator.eco2("replay", "cut", check=False, timeout=400)
    assert (done.returncode, "no difference in 1 requests" in done.stdout) == (0, True), done.stdout + done.stderr


@pytest.mark.slow
def test_a_recording_ends_with_its_emulator(own_emulator: Emulator) -> None:
    emulator = own_emulator.up()
    emulator.eco2("record", "on", "short")
    Visitor(emulator.url).register()
    emulator.eco2("kill", "gateway")
    emulator.wait(lambda: emulator.eco2("status", check=False).returncode == 0)
    Visitor(emulator.url, "yuna", "yuna@example.com").register()  # a new gateway goes on recording
    refused = emulator.eco2("record", "on", "more", check=False)
    assert (refused.returncode, "short is being recorded" in refused.stderr) == (1, True)
    refused = emulator.eco2("record", "delete", "short", check=False)
    assert (refused.returncode, "still open" in refused.stderr) == (1, True)
    emulator.down()
    emulator.eco2("reset", "--yes")  # what was made on purpose stays
    (about,) = json.loads(emulator.eco2("record", "list", "--json").stdout)
    assert (about["ended"], about["requests"]) == ("down", 2)


def test_long_and_binary_bodies_are_files_and_one_of_them_is_kept_once(tmp_path: Path) -> None:
    (tmp_path / form.BODIES).mkdir()
    log = Log(tmp_path)
    assert log.keep("짧은".encode()) == Body(6, "짧은")
    one, other = log.keep(b"\xff" * 40_000), log.keep(b"\xff" * 40_000)
    assert one == other
    assert form.content_of(tmp_path, one) == b"\xff" * 40_000
    assert len(list((tmp_path / form.BODIES).iterdir())) == 1
    beginning = log.keep(b"abc", 10, "hash of all")
    assert (beginning.cut, beginning.size, beginning.hash) == (True, 10, "hash of all")
    log.close()


@pytest.fixture
def begun(tmp_path: Path) -> tuple[State, Path]:
    """A state, and in it a recording of one request that is open."""
    state = State(tmp_path / "state")
    state.create()
    folder = recordings.begin(state, "day")
    recordings.write_about(folder, version.mark() | {"name": "day", "at": 1.0, "ended": "open"})
    log = Log(folder)
    answer = Answer(200, [], log.keep(b"\xff" * 100), 0.1)
    log.write(Exchange("a", 1.0, "gateway", "GET", "/a", [], Body(), "t", answer))
    log.close()
    opened.mark_open(state, folder, requests=True)
    return state, folder


def test_a_recording_that_is_open_is_neither_read_nor_deleted_nor_begun_again(begun: tuple[State, Path]) -> None:
    state, folder = begun
    assert (folder.stat().st_mode | folder.parent.stat().st_mode) & 0o077 == 0, (
        "what people sent is for its owner alone"
    )
    for what in (lambda: recordings.check(folder), lambda: recordings.delete(state, "day")):
        with pytest.raises(StartError, match="still open"):
            what()
    with pytest.raises(StartError, match="there is a recording day already"):
        recordings.begin(state, "day")
    finish_left(state, lambda line: None)
    assert recordings.check(folder)["requests"] == 1
    recordings.delete(state, "day")
    assert recordings.every(state) == []
    with pytest.raises(StartError, match="there is no recording day; `eco2 record on` begins one"):
        recordings.find(state, "day")


@pytest.mark.parametrize("name", ["", "..", "../day", "a/b", ".hidden", "-x", "a" * 65, "말", "day\n"])
def test_a_recording_s_name_leads_nowhere_else(begun: tuple[State, Path], name: str) -> None:
    state, folder = begun
    for what in (recordings.begin, recordings.find, recordings.delete):
        with pytest.raises(CalledWrongly, match="can't be a recording's name"):
            what(state, name)
    assert recordings.begin(state, "a" * 64).parent == folder.parent, "and beside the first there is room"


def test_a_recording_whose_folder_is_gone_is_not_open(begun: tuple[State, Path]) -> None:
    state, folder = begun
    assert opened.open_one(state) == opened.open_one(state, requests=True) == folder
    opened.mark_open(state, folder, requests=False)
    assert (opened.open_one(state), opened.open_one(state, requests=True)) == (folder, None)
    folder.rename(folder.with_name("elsewhere"))
    assert opened.open_one(state) is None


def test_what_a_killed_emulator_left_open_is_closed_once(begun: tuple[State, Path]) -> None:
    state, folder = begun
    said: list[str] = []
    finish_left(state, said.append)
    finish_left(state, said.append)
    assert said == ["the recording day ended with the emulator that was killed: 1 requests"]
    assert recordings.read_about(folder)["ended"] == "killed"
    assert not (state.path / opened.OPEN).exists()


def test_what_can_not_be_closed_is_said_and_keeps_no_emulator_from_its_start(begun: tuple[State, Path]) -> None:
    state, folder = begun
    (folder / "about.json").write_text("{")
    said: list[str] = []
    finish_left(state, said.append)
    assert said == ["the recording day can't be closed: the recording day is damaged: about.json can't be read"]
    assert opened.open_one(state) is None
    assert [about["ended"] for about in recordings.every(state)] == ["damaged"]


def test_a_recording_is_full_by_what_was_recorded_and_not_by_the_state_at_its_start(
    begun: tuple[State, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, folder = begun
    (folder / form.SNAPSHOT).mkdir()
    (folder / form.SNAPSHOT / "large").write_bytes(b"x" * 100_000)
    there = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) - 100_000
    monkeypatch.setattr(form, "LARGEST", there + 1000)
    about = recordings.finish(folder, "off", 2.0)
    assert (about["ended"], about["until"], about["bytes"]) == ("off", 2.0, there + 100_000)
    monkeypatch.setattr(form, "LARGEST", there)
    assert recordings.finish(folder, "off", 2.0)["ended"] == "full"


def test_an_exchange_more_than_a_recording_may_hold_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / form.BODIES).mkdir()
    monkeypatch.setattr(form, "LARGEST", 150)
    log = Log(tmp_path)
    for content in (b"\xff" * 100, b"\xfe" * 100):
        log.write(Exchange("a", 1.0, "gateway", "GET", "/a", [], log.keep(content), "t", Answer(200, [], Body(), 0.1)))
    log.close()
    assert len(form.read_exchanges(tmp_path)) == 1, "the second one's body is one too many"
