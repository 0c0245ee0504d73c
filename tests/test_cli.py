"""The command line: each command's page is whole, its examples work, and mistakes, Ctrl-C and a closed pipe are taken calmly."""

import argparse
import contextlib
import os
import pty
import shlex
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from emulator.state.folder import State
from runtime import cli
from runtime.commands.tables import fitting
from runtime.manual import Manual
from runtime.services import ROOT

ECO2 = Path(sys.executable).with_name("eco2")


def pages(parser: Manual) -> Iterator[Manual]:
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for one in action.choices.values():
                yield from pages(one)


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_each_page_is_whole(name: str) -> None:
    for page in pages(cli.manual(name)):
        text = page.format_help()
        for title in ("NAME", "SYNOPSIS", "OPTIONS", "EXAMPLES", "EXIT CODES"):
            assert f"{title}\n    " in text, f"{page.prog}: {title}"
        assert [
            action.dest
            for action in page._actions
            if not action.help and not isinstance(action, argparse._SubParsersAction)
        ] == [], f"{page.prog}: what these mean"


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_each_example_can_be_typed(name: str) -> None:
    parser = cli.manual(name)
    for line in parser.examples.strip().splitlines():
        command, _, what = line.partition("  # ")
        assert what, line
        words = shlex.split(command.partition(" > ")[0])
        assert words[:2] == ["eco2", name]
        parser.parse_args(words[2:])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["stauts"], "there is no command stauts: did you mean status?"),
        (["up", "--detatch"], "did you mean --detach?"),
        (["tasks", "lst"], "there is no lst: did you mean list?"),
        (["redis", "brokr"], "there is no brokr: did you mean broker?"),
        (["functions", "wsate"], "there is no service wsate: did you mean waste?"),
        (["up", "--port", "http"], "argument --port: http is no port: 1 to 65535"),
        (["why"], "required"),
        (["clock", "advance", "-5m"], "argument TIME: -5m is negative: time goes forward only"),
        (["up", "--port", "-1"], "argument --port: -1 is no port"),
        (["test"], "there is no command test; there are "),
        (["stop"], "there is no command stop; there are "),
        (["exec"], "which command?"),
        (["fault", "add", "s3", "latency", "5"], "latency needs an amount such as 300ms±100, not '5'"),
        (["up", "--name", "a b"], "'a b' is no name"),
    ],
)
def test_a_mistake_is_one_line_that_suggests_the_near_name(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(words) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("width", [72, 80, 200])
def test_a_table_fits_the_terminal_and_an_id_keeps_its_end(width: int) -> None:
    id_ = "01a214c2-c3be-7bfe-8457-7949fb984568"
    line = [
        id_,
        "process_photo",
        "storage",
        "failure",
        "2026-11-29 02:24:42",
        "empty-text: there is no text to work on",
    ]
    [shown] = fitting([line], ("task_id", "task_name", "worker", "status", "completed_at", "error"), width)
    assert sum(map(len, shown)) + 2 * (len(shown) - 1) <= width
    assert id_.endswith(shown[0].removeprefix("…"))
    assert (shown == line) == (width == 200)
    assert shown[4] in ("02:24:42", "2026-11-29 02:24:42")  # of one day: the time is whole


def test_times_of_several_days_keep_their_day_in_a_narrow_table() -> None:
    days = [[f"01a214c2-c3be-7bfe-8457-7949fb98456{n}", f"2026-11-2{n} 02:24:42"] for n in (8, 9)]
    assert fitting(days, ("task_id", "started_at"), 26) == [
        ["…fb984568", "11-28 02:24:42"],
        ["…fb984569", "11-29 02:24:42"],
    ]


@pytest.mark.parametrize("columns", [80, 200])
def test_the_catalogue_fits_the_terminal(columns: int) -> None:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (40, columns))
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    child = subprocess.Popen([ECO2, "functions", "auth"], stdout=theirs, env=environment)
    os.close(theirs)
    said = b""
    # The end of a terminal is an error on Linux.
    with contextlib.suppress(OSError), os.fdopen(ours, "rb", buffering=0) as terminal:
        while data := terminal.read(65536):
            said += data
    assert child.wait() == 0
    lines = said.decode().split("\r\n")
    assert max(map(len, lines)) <= columns
    assert any(line.startswith("auth/login ") and "POST /api/v1/auth/login" in line for line in lines)
    assert ("functions/auth/login.py" in said.decode()) == (columns == 200)


def test_help_is_the_same_page_either_way(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["help", "status"]) == cli.main(["status", "--help"]) == 0
    first, second = capsys.readouterr().out.split("NAME\n")[1:]
    assert first == second


@pytest.mark.parametrize("words", [["--help"], ["up", "--help"], ["functions"], ["functions", "--json"]])
def test_a_reader_who_has_seen_enough_is_no_error(words: list[str]) -> None:
    child = subprocess.Popen([ECO2, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stderr is not None
    child.stdout.close()
    assert (child.stderr.read(), child.wait()) == (b"", 0)
    child.stderr.close()


def test_output_that_can_not_be_written_is_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([ECO2, "functions"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "eco2: No space left on device\n")


def test_a_terminal_of_another_alphabet_shows_what_it_can() -> None:
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run([ECO2, "invoke", "--help"], capture_output=True, text=True, check=False, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert "--query q=\\ud398" in done.stdout


def test_the_commands_work_from_anywhere(tmp_path: Path) -> None:
    for folder in (ROOT / "functions" / "auth", tmp_path):
        done = subprocess.run([ECO2, "functions", "auth"], cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "auth/login" in done.stdout


def test_ctrl_c_ends_a_command_without_a_traceback(tmp_path: Path) -> None:
    State(tmp_path / "state").create()
    (tmp_path / "state/lock").touch()  # a state that has been up
    child = subprocess.Popen(
        [ECO2, "reset", "--state", str(tmp_path / "state")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    assert child.stdout is not None
    assert child.stdout.read(6) == b"Delete"  # it asks, and waits for an answer
    child.send_signal(signal.SIGINT)
    _, said = child.communicate()
    assert (child.returncode, said) == (130, b"")


def test_a_database_s_wrong_address_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MIGRATION_DB_URL", "nonsense")
    assert cli.main(["migrate"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("eco2 migrate: MIGRATION_DB_URL is no address of a database")
    assert said.count("\n") == 1
