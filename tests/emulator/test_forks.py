"""The template's children: what each finds at its start, how its end is told, and what becomes of them without the template."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from emulator import forks
from emulator.forks import Forked, Template
from emulator.launcher import Launcher
from emulator.process import Command, StartError, spawn, state_of

ROOT = Path(__file__).parents[2]
ENV = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
# The template's loop, without what it imports for the services.
OBEYS = """
import gc, os, socket
from emulator import template
gc.disable()
control = socket.socket(fileno=int(os.environ["TEMPLATE_FD"]))
template._tell(control, {"ready": [template.__file__]})
template._obey(control)
"""


def begun(folder: Path, program: str = OBEYS) -> Template:
    made = Template(Command("template", [sys.executable, "-c", program], ENV, folder / "template.log", cwd=ROOT))
    made.start()
    return made


@contextlib.asynccontextmanager
async def started(folder: Path, program: str = OBEYS) -> AsyncIterator[Template]:
    made = begun(folder, program)
    try:
        yield made
    finally:
        made.close()


def descriptors(pid: int | str = "self") -> int:
    return len([*Path(f"/proc/{pid}/fd").iterdir()])


async def forked(template: Template, folder: Path, *arguments: str, orders: bool = False) -> Forked:
    command = Command("child", [], {"A": "b"}, folder / "child.log", cwd=folder)
    return await template.fork(command, "tests.emulator.forked:end", arguments, orders)


async def test_a_child_is_as_a_program_that_was_started_by_itself(tmp_path: Path) -> None:
    log = tmp_path / "child.log"
    log.write_text("of its last life\n")
    async with asyncio.timeout(60), started(tmp_path) as template:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            command = Command(
                "a-child-with-a-long-name", [], {"A": "b"}, log, cwd=tmp_path, pass_fds=(listener.fileno(),)
            )
            await (await forked(template, tmp_path, "nothing")).ended.wait()
            assert template.process is not None
            before = descriptors(), descriptors(template.process.pid)
            child = await template.fork(command, "tests.emulator.forked:tell", (), orders=True)
            assert descriptors() == before[0] + 1, "its orders are written there"
            assert child.orders is not None
            child.orders.say({"all": 1})
            await child.ended.wait()
            assert (descriptors(), descriptors(template.process.pid)) == before
            port = listener.getsockname()[1]
        assert template.files == {str(ROOT / "emulator/template.py")}
    last, said = log.read_text().splitlines()
    told = json.loads(said)
    assert (last, child.returncode) == ("of its last life", 3)
    assert told == {
        "environ": {"A": "b", "LISTEN_FDS": told["environ"]["LISTEN_FDS"]},
        "cwd": str(tmp_path),
        "argv": ["tests.emulator.forked:tell"],
        "name": "a-child-with-a-",
        "leads": True,
        "sockets": 1,
        "ports": [port],
        "terms": True,
        "wakes": -1,
        "collects": True,
        "order": '{"all": 1}\n',
    }


@pytest.mark.parametrize(
    ("way", "code", "said"),
    [
        ("nothing", 0, ""),
        ("code", 4, ""),
        ("exit", 0, ""),
        ("exit 5", 5, ""),
        ("why", 1, "error: no such thing"),
        ("raise", 1, "LookupError: not found"),
        ("SIGTERM", -signal.SIGTERM, ""),
        ("SIGINT", 1, "KeyboardInterrupt"),
        ("SIGKILL", -signal.SIGKILL, ""),
    ],
)
async def test_how_a_child_ended_is_told(template: Template, tmp_path: Path, way: str, code: int, said: str) -> None:
    async with asyncio.timeout(60):
        child = await forked(template, tmp_path, way)
        await forks.exited(child)
    assert (child.poll(), template.children, template.births) == (code, {}, {})
    assert (tmp_path / "child.log").read_text().strip().rpartition("\n")[2] == said


@pytest.fixture(scope="module")
async def template(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Template]:
    async with started(tmp_path_factory.mktemp("template")) as made:
        yield made


async def test_without_the_template_no_child_lives_and_none_is_born(tmp_path: Path) -> None:
    before = descriptors()
    async with asyncio.timeout(60), started(tmp_path) as template:
        child = await forked(template, tmp_path, "wait", orders=True)
        assert template.process is not None
        os.kill(template.process.pid, signal.SIGSTOP)  # of whom it is asked for meanwhile is never born
        asked = asyncio.create_task(forked(template, tmp_path, "wait", orders=True))
        while not template.births:  # noqa: ASYNC110 - it has no event until it is answered
            await asyncio.sleep(0)
        template.process.kill()
        await template.gone.wait()
        assert (child.ended.is_set(), child.returncode, template.children) == (True, -signal.SIGKILL, {})
        while state_of(child.pid) != "gone":  # noqa: ASYNC110 - no child of ours: its end has no event here
            await asyncio.sleep(0.01)
        child.kill()  # of one that has ended nothing comes
        for late in (asked, asyncio.create_task(forked(template, tmp_path, "wait", orders=True))):
            with pytest.raises(
                StartError, match=r"^child did not start: the template of all services: it ended; see its log$"
            ):
                await late
        assert (template.births, descriptors()) == ({}, before)


async def test_a_template_that_does_not_answer_is_ended_so_that_the_next_one_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forks, "_PATIENCE", 0.05)
    async with started(tmp_path, "import time; time.sleep(600)") as template:
        with pytest.raises(StartError, match=r"^child did not start: the template of all services: does not answer$"):
            await forked(template, tmp_path, "wait")
        assert template.gone.is_set()
        assert template.process is not None
        assert template.process.poll() == -signal.SIGKILL


async def test_a_retired_template_goes_with_its_last_child(tmp_path: Path) -> None:
    async with asyncio.timeout(60), started(tmp_path) as template:
        children = [await forked(template, tmp_path, "wait") for _ in range(2)]
        template.retire()
        for child in children:
            await asyncio.sleep(0.01)
            assert not template.gone.is_set()
            child.kill()
            await child.ended.wait()
        await template.gone.wait()


async def test_a_new_template_is_known_when_the_old_one_retires_and_neither_outlives_who_made_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Launcher, "_new_template", lambda self, early=None: begun(tmp_path))
    launcher = Launcher(ENV, tmp_path)
    old = launcher.template
    async with asyncio.timeout(60):
        child = await forked(old, tmp_path, "wait")
        await launcher.renew_template()
        assert launcher.template.files == old.files, "a file that is saved next may be one that it holds"
        assert (launcher.template is old, old.gone.is_set()) == (False, False)
        new = launcher.template
        launcher.close()
        assert (old.gone.is_set(), new.gone.is_set()) == (True, True)
        await child.ended.wait()


async def test_a_program_s_end_is_waited_for_while_everything_else_goes_on(tmp_path: Path) -> None:
    before = descriptors()
    process = spawn(
        Command("waits", [sys.executable, "-S", "-c", "import time; time.sleep(600)"], ENV, tmp_path / "log")
    )
    waiting = asyncio.create_task(forks.exited(process))
    await asyncio.sleep(0)
    assert (process.poll(), waiting.done()) == (None, False)
    process.kill()
    async with asyncio.timeout(30):
        await waiting
        await forks.exited(process)
    assert (process.returncode, descriptors()) == (-signal.SIGKILL, before)


def test_of_one_that_has_ended_the_number_may_be_another_s_and_gets_no_signal() -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as another:
        ended = Forked(another.pid, None)
        ended.end(0)
        ended.kill()
        assert another.communicate(b"here") == (b"here", None)
