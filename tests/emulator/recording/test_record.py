"""What is recorded, and what becomes of a recording when its emulator ends."""

import json
import os
import signal
import threading
from pathlib import Path

import httpx
import pytest

from emulator.recording import form
from emulator.recording.form import Body, Log
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
    with httpx.Client(base_url=emulator.url, trust_env=False) as client:
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
