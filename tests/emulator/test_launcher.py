"""Programs that have an end: what is run again, whose lines are heard, and what ends with who waits for it."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from emulator import launcher as launching
from emulator.launcher import Launcher
from emulator.process import StartError

ROOT = Path(__file__).parents[2]
# Counts its runs in a file, and ends by SIGKILL the first so many times, then with the code.
RUNS = (
    "import os, pathlib, signal, sys; file = pathlib.Path(sys.argv[1]);"
    "runs = len(file.read_text()) if file.exists() else 0; file.write_text('x' * (runs + 1));"
    "runs < int(sys.argv[2]) and os.kill(os.getpid(), signal.SIGKILL); sys.exit(int(sys.argv[3]))"
)
ENV = {"PATH": os.environ["PATH"]}


@pytest.fixture
async def launcher(tmp_path: Path) -> AsyncIterator[Launcher]:
    (tmp_path / "logs").mkdir()
    made = Launcher(ENV | {"PYTHONPATH": str(ROOT), "ECO2_STATE": str(tmp_path)}, tmp_path / "logs")
    yield made
    made.close()


async def test_a_program_that_a_signal_ended_is_run_again_and_one_that_failed_is_not(
    launcher: Launcher, tmp_path: Path
) -> None:
    async def runs(name: str, killed: int, code: int) -> int:
        file = tmp_path / name
        try:
            await launcher.run(launcher.program(name, ["-S", "-c", RUNS, str(file), str(killed), str(code)], ENV))
            said = ""
        except StartError as error:
            said = str(error)
        assert said == (
            "" if name in ("well", "late") else f"{name} did not start (exit {code or -9}): it said nothing"
        )
        return len(file.read_text())

    found = [await runs("well", 0, 0), await runs("late", 2, 0), await runs("never", 9, 0), await runs("wrong", 0, 3)]
    assert found == [1, 3, 3, 1]


async def test_whole_lines_of_this_run_are_handed_on_and_who_gives_up_ends_the_program(
    launcher: Launcher, tmp_path: Path
) -> None:
    heard: list[str] = []
    program = launcher.program("talks", ["-S", "-c", "print('one\\n two\\nhalf', end='')"], ENV)
    program.log.write_text("of the last run\n")
    await launcher.run(program, on_line=heard.append)
    assert heard == ["one", "two"]
    waits = launcher.program("waits", ["-S", "-c", "import time; print('here', flush=True); time.sleep(600)"], ENV)
    for stop in (False, True):
        heard.clear()
        running = asyncio.create_task(launcher.run(waits, on_line=heard.append))
        async with asyncio.timeout(30):
            while not heard:  # noqa: ASYNC110 - a line in a file has no event
                await asyncio.sleep(0.01)
            (process,) = launcher._programs
            launcher.stop_programs() if stop else running.cancel()
            while process.poll() is None:  # noqa: ASYNC110 - a process's end has no event here
                await asyncio.sleep(0.01)
        await asyncio.wait({running})
        assert isinstance(running.exception(), StartError) if stop else running.cancelled()
        assert launcher._programs == set(), "what was stopped is not run again"


def test_a_log_is_put_aside_when_it_has_grown_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launching, "_LOG_LIMIT", 3)
    log = tmp_path / "one.log"
    launching._cut_log(log)
    log.write_text("abc")
    launching._cut_log(log)
    assert log.read_text() == "abc"
    log.write_text("abcd")
    launching._cut_log(log)
    assert ((tmp_path / "one.log.1").read_text(), log.exists()) == ("abcd", False)
