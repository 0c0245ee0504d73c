"""What a shell offers next comes from the parsers themselves, and the names from what is there."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from emulator.commands.completion import SCRIPTS, names
from emulator.state.folder import State
from runtime import cli
from runtime.completion import candidates


@pytest.fixture
def state(tmp_path: Path) -> State:
    state = State(tmp_path)
    state.create()
    state.write_json("emulator.json", {"parts": [{"name": "postgres"}, {"name": "worker-ai/2"}]})
    (tmp_path / "snapshots" / "monday").mkdir(parents=True)
    (tmp_path / "recordings" / "bug").mkdir(parents=True)
    return state


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("stat", ["status"]),
        ("help stat", ["status"]),
        ("kill work", ["worker-ai/2"]),
        ("logs postgres ", ["postgres", "worker-ai/2"]),
        ("invoke auth/log", ["auth/login", "auth/logout"]),
        ("invoke auth/login --js", ["--json"]),
        ("psql was", ["waste"]),
        ("scale ai", []),
        ("snapshot restore mon", ["monday"]),
        ("snapshot restore monday --y", ["--yes"]),
        ("record show ", ["bug"]),
        ("replay ", ["bug"]),
        ("replay bug --on ", ["monday"]),
        ("up --ai ", ["embedded", "stub"]),
        ("up --seed ", []),
        ("snapshot imp", ["import"]),
        ("nonsense ", []),
    ],
)
def test_the_next_word_is_one_that_the_parser_takes(state: State, line: str, offered: list[str]) -> None:
    assert candidates(line.split(" "), names(state)) == offered


def test_every_command_is_offered(state: State) -> None:
    assert candidates([""], names(state)) == sorted([*cli.available(), "help"])


def test_bash_completes_by_the_script(state: State) -> None:
    eco2 = f'eco2() {{ {sys.executable} -m runtime.cli "$@"; }}\n'
    asked = f"COMP_WORDS=(eco2 kill --state {state.path} wor); COMP_CWORD=4; _eco2; echo ${{COMPREPLY[*]}}"
    done = subprocess.run(
        ["bash", "-c", eco2 + SCRIPTS["bash"] + asked], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == ["worker-ai/2"]


@pytest.mark.parametrize("shell", [shell for shell in SCRIPTS if shutil.which(shell)])
def test_the_shell_itself_can_read_its_script(shell: str) -> None:
    subprocess.run([shell, "-n"], input=SCRIPTS[shell], text=True, check=True, timeout=20)
