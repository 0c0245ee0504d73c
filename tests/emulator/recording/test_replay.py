"""A day recorded, and sent again to the same code and to changed code: real systems beside each other."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from emulator.process import alive
from emulator.recording import form
from emulator.recording.beside import code_of
from tests.emulator.conftest import ROOT, Emulator, copied
from tests.emulator.recording.scenes import PASSWORD, Visitor, a_day

pytestmark = pytest.mark.slow

FOLDERS = ("functions", "shared", "runtime", "emulator", "k8s", "locks")


@pytest.fixture(scope="module")
def emulator(started_once: Path) -> Iterator[Emulator]:
    """A running emulator with the recording `day`, on a state in which somebody was before."""
    emulator = copied(started_once)
    try:
        emulator.up()
        earlier = Visitor(emulator.url, "early", "early@example.com")
        earlier.register()
        earlier.log_in()
        emulator.eco2("record", "on", "day")
        earlier.ask("GET", "/auth/me", 200)  # with a token from before
        a_day(emulator.url)
        emulator.eco2("record", "off")
        yield emulator
    finally:
        emulator.destroy()


@pytest.fixture
def copy() -> Iterator[Path]:
    """A copy of the checkout, to be changed."""
    folder = Path(tempfile.mkdtemp(prefix="eco2-checkout-"))
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name)
    shutil.copy(ROOT / "pyproject.toml", folder)
    yield folder
    shutil.rmtree(folder)


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


@pytest.fixture(scope="module")
def aside() -> Iterator[Path]:
    """Where replays of these tests have their second systems: other tests replay at the same time."""
    folder = Path(tempfile.mkdtemp(prefix="eco2-aside-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


def replay(emulator: Emulator, aside: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Replay, with the second system in `aside`."""
    return emulator.eco2("replay", *words, check=False, env=environment(aside), timeout=400)


def environment(aside: Path) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(aside)}


def left_behind(aside: Path) -> list[Path]:
    return list(aside.iterdir())


def test_the_same_code_gives_no_difference_twice_in_a_row(emulator: Emulator, aside: Path) -> None:
    for words in ([], ["--ai", "embedded"]):
        done = replay(emulator, aside, "day", *words)
        assert done.returncode == 0, done.stdout
        assert "no difference in 16 requests" in done.stdout
        for function in ("waste/create_analysis", "chat_llm/create_message", "object store", "auth/login"):
            assert function in done.stdout
    assert left_behind(aside) == []


def test_what_a_change_breaks_is_named_by_function_and_field(emulator: Emulator, aside: Path, copy: Path) -> None:
    edit(copy / "functions/waste/photo_classified.py", "answer.confidence, result", "0.5, result")
    once = "        person = await sql.select_person(conn, user.id, user.session_id)\n"
    edit(copy / "functions/auth/me.py", once, once * 2)
    done = replay(emulator, aside, "day", "--with", str(copy), "--json")
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)
    fields = {
        one["function"]: {d["field"] for d in one["differences"]} for one in found["results"] if one["differences"]
    }
    assert fields.keys() == {"waste/get_analysis", "waste/follow_analysis", "waste/list_analyses", "auth/me"}
    assert fields["waste/get_analysis"] == {"body.confidence"}
    assert fields["waste/follow_analysis"] == {"body.last_event.data.confidence"}
    assert fields["auth/me"] == {"sql GET /api/v1/auth/me"}
    assert PASSWORD not in done.stdout
    assert left_behind(aside) == []


def test_work_that_fails_is_seen_in_the_request_that_set_it_going(emulator: Emulator, aside: Path, copy: Path) -> None:
    first = '    progress.publish("checking", 0.1)\n'
    edit(copy / "functions/storage/process_photo.py", first, f"{first}    raise ValueError\n")
    done = replay(emulator, aside, "day", "--with", str(copy))
    assert done.returncode == 1
    assert "+ storage/process_photo: internal" in done.stdout
    assert "- waste/photo_classified: success" in done.stdout


def test_one_request_is_sent_after_those_before_it_and_compared_alone(emulator: Emulator, aside: Path) -> None:
    exchanges = form.read_exchanges(emulator.folder / "recordings" / "day")
    wanted = next(
        exchange for exchange in exchanges if exchange.path == "/api/v1/waste/analyses" and exchange.method == "GET"
    )
    done = replay(emulator, aside, wanted.id[:8])  # as a list in a narrow terminal shows it
    assert (done.returncode, "no difference in 1 requests" in done.stdout) == (0, True), done.stdout


def test_on_another_state_the_same_request_answers_otherwise(emulator: Emulator, aside: Path) -> None:
    emulator.eco2("snapshot", "save", "later")
    exchanges = form.read_exchanges(emulator.folder / "recordings" / "day")
    wanted = next(exchange for exchange in exchanges if exchange.path == "/api/v1/auth/register")
    done = replay(emulator, aside, wanted.id, "--on", "later")
    assert done.returncode == 1
    assert "201 → 409" in done.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_second_system_ends_with_the_replay_however_that_ends(emulator: Emulator, aside: Path, number: int) -> None:
    argv = [sys.executable, "-m", "runtime.cli", "replay", "day", "--state", str(emulator.folder)]
    running = subprocess.Popen(argv, cwd=ROOT, env=environment(aside), stdout=subprocess.DEVNULL)
    emulator.wait(lambda: any((folder / "emulator.json").exists() for folder in left_behind(aside)))
    folder = next(folder for folder in left_behind(aside) if (folder / "emulator.json").exists())
    pid = json.loads((folder / "emulator.json").read_text())["pid"]
    time.sleep(0.5)  # somewhere in its start
    running.send_signal(number)
    running.wait(60)
    emulator.wait(lambda: not alive(pid))
    emulator.wait(lambda: not folder.exists())
    assert emulator.eco2("status", check=False).returncode == 0


def test_a_recording_is_not_shown_with_what_opens_something(emulator: Emulator) -> None:
    shown = emulator.eco2("record", "show", "day", "--json").stdout
    kept = (emulator.folder / "recordings" / "day" / "requests.jsonl").read_text()
    assert PASSWORD in kept, "the replay has to log in"
    assert PASSWORD not in shown
    tokens = [line for line in kept.split('"') if line.startswith("Bearer ")]
    assert tokens
    assert not any(token.removeprefix("Bearer ") in shown for token in tokens)
    for path in (emulator.folder / "recordings").rglob("*.jsonl"):
        assert (emulator.folder / "recordings").stat().st_mode & 0o077 == 0, path


def test_a_damaged_recording_is_refused_with_the_file_that_is(emulator: Emulator, aside: Path) -> None:
    shutil.copytree(emulator.folder / "recordings" / "day", emulator.folder / "recordings" / "bent", symlinks=True)
    file = emulator.folder / "recordings" / "bent" / "requests.jsonl"
    file.write_bytes(file.read_bytes().replace(b"201", b"200", 1))
    for wanted in ("bent", form.read_exchanges(file.parent)[0].id):
        refused = replay(emulator, aside, wanted)
        if wanted == "bent":
            assert refused.returncode == 1
            assert "the recording bent is damaged: 1 of its" in refused.stderr
            assert "first requests.jsonl" in refused.stderr
    (file.parent / "about.json").write_text("{")
    assert "bent                     damaged" in emulator.eco2("record", "list").stdout
    # The others can be replayed all the same.
    wanted = form.read_exchanges(emulator.folder / "recordings" / "day")[0]
    assert "no difference in 1 requests" in replay(emulator, aside, wanted.id).stdout
    emulator.eco2("record", "delete", "bent")


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("replay", "nothing"), 1, "nothing is neither a recording nor a request of one; there are the recordings day"),
        (
            ("replay", "day", "--with", "no-such-branch"),
            2,
            "no-such-branch is neither the folder of a checkout nor a commit",
        ),
        (("replay", "day", "--with", "/tmp"), 2, "/tmp is not a checkout that can replay"),
        (("replay", "day", "--on", "nothing"), 1, "there is no snapshot nothing"),
        (("record", "show", "days"), 1, "there is no recording days: did you mean day?"),
        (("record", "on", "day"), 1, "there is a recording day already"),
        (("record", "on", "../x"), 2, "can't be a recording's name"),
        (("record", "off"), 1, "nothing is being recorded"),
    ],
)
def test_what_can_not_be_done_is_said(emulator: Emulator, words: tuple[str, ...], code: int, says: str) -> None:
    refused = emulator.eco2(*words, check=False)
    assert (refused.returncode, says in refused.stderr) == (code, True), refused.stderr


def test_a_commits_code_lies_in_a_work_tree_that_is_gone_afterwards() -> None:
    def trees() -> str:
        return subprocess.run(
            ["git", "-C", ROOT, "worktree", "list"], capture_output=True, text=True, check=True
        ).stdout

    with code_of("HEAD") as code:
        assert (code / "functions" / "auth" / "me.py").exists()
        assert str(code) in trees()
    assert not code.parent.exists()
    assert str(code) not in trees()
