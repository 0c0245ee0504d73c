"""Emulators for tests: real ones, on state folders of their own, stopped and gone at the end."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from emulator import control
from emulator.process import alive, free_port
from emulator.running import environment
from emulator.servers.postgres import remove_cluster
from emulator.state.folder import State
from tests import commands, web

ROOT = Path(__file__).resolve().parents[2]


class Emulator:
    """One state folder, and the command line on it.

    With `forks` its commands are forks of a process that has imported the libraries (tests/commands.py); what is measured are
    processes of their own.
    """

    def __init__(self, folder: Path, *, forks: bool = False) -> None:
        self.folder = folder
        self.forks = forks
        self.port = free_port()
        self.root = ROOT  # the checkout that it runs

    def eco2(self, *words: str, check: bool = True, **more: Any) -> subprocess.CompletedProcess[str]:
        """Run a command on this state; its words before `--` or the end get --state."""
        cut = words.index("--") if "--" in words else len(words)
        words = (*words[:cut], "--state", str(self.folder), *words[cut:])
        where = {"cwd": self.root, "timeout": 120} | more
        env = where.pop("env", os.environ | {"PYTHONPATH": str(self.root)})
        if self.forks and where.keys() == {"cwd", "timeout"}:
            done = commands.run(self.root, words, env, **where)
        else:
            argv = [sys.executable, "-m", "runtime.cli", *words]
            where = {"env": env, "stdin": subprocess.DEVNULL} | where
            done = subprocess.run(argv, capture_output=True, text=True, check=False, **where)
        if check and done.returncode != 0:
            raise AssertionError(f"{words} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def up(self) -> "Emulator":
        self.eco2("up", "--detach", "--port", str(self.port))
        return self

    def down(self) -> None:
        self.eco2("down")

    @property
    def about(self) -> dict[str, Any]:
        """What `eco2 status --json` prints."""
        found: dict[str, Any] = control.ask(State(self.folder), "status", look=True)["about"]
        return found

    @property
    def token(self) -> str:
        """What the dashboard's API asks for, as its owner reads it."""
        found: str = json.loads((self.folder / "emulator.json").read_text())["token"]
        return found

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self) -> httpx.Client:
        return web.Client(base_url=self.url, timeout=30)

    def sql(self, statement: str) -> str:
        """The first column of what PostgreSQL answers the migrations' role, a line each."""
        with psycopg.connect(environment(state=self.folder)["MIGRATION_DB_URL"]) as conn:
            return "\n".join(str(value) for value, *_ in conn.execute(statement.encode()).fetchall())

    def pids(self) -> list[int]:
        """Every process of this emulator: those that have its state folder in their environment or command line."""
        found = []
        mark = str(self.folder).encode()
        for path in Path("/proc").glob("[0-9]*"):
            if int(path.name) != os.getpid():
                try:
                    if mark in (path / "cmdline").read_bytes() or mark in (path / "environ").read_bytes():
                        found.append(int(path.name))
                except OSError:
                    continue
        return [pid for pid in found if alive(pid)]

    def wait(self, condition: Callable[[], bool], seconds: float = 60.0) -> None:
        """Until it holds; what never does fails here."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"waited {seconds:.0f} s in vain"
            time.sleep(0.05)

    def destroy(self) -> None:
        self.eco2("down", check=False)
        remove_cluster(State(self.folder))
        shutil.rmtree(self.folder, ignore_errors=True)


def make(model: Path, *, forks: bool = False) -> Emulator:
    folder = Path(tempfile.mkdtemp(prefix="eco2-test-"))
    emulator = Emulator(folder, forks=forks)
    if model.exists():
        shutil.copytree(model, folder / "model", dirs_exist_ok=True)
    return emulator


# Of one run alone: ports that two copies would both find free, and what tells who holds the folder.
NOT_COPIED = ("ports.json", "lock", "emulator.json")


def copied(started_once: Path) -> Emulator:
    """An emulator that is not started, on a state of its own that ran once."""
    emulator = Emulator(Path(tempfile.mkdtemp(prefix="eco2-test-")), forks=True)
    # A state that PostgreSQL's user can't reach has its cluster elsewhere: two emulators must not share that.
    if (started_once / "postgres").is_symlink():
        shutil.copytree(started_once / "model", emulator.folder / "model")
        return emulator
    subprocess.run(["cp", "-a", f"{started_once}/.", str(emulator.folder)], check=True)
    for name in NOT_COPIED:
        (emulator.folder / name).unlink(missing_ok=True)
    return emulator


@pytest.fixture(scope="module")
def emulator(started_once: Path) -> Iterator[Emulator]:
    """A running emulator, shared by a module's tests."""
    emulator = copied(started_once)
    try:
        yield emulator.up()
    finally:
        emulator.destroy()


@pytest.fixture(scope="module")
def api(emulator: Emulator) -> Iterator[httpx.Client]:
    """The dashboard's API with its token, on the running emulator."""
    with web.Client(
        base_url=f"{emulator.url}/_emulator/api", headers={"X-Eco2-Token": emulator.token}, timeout=60
    ) as client:
        yield client


@pytest.fixture
def own_emulator(started_once: Path) -> Iterator[Emulator]:
    """An emulator of the test's own that is not started."""
    emulator = copied(started_once)
    try:
        yield emulator
    finally:
        emulator.destroy()


@pytest.fixture
def new_emulator(model: Path) -> Iterator[Emulator]:
    """An emulator of the test's own that never ran: its first start makes passwords, keys and all tables."""
    emulator = make(model, forks=True)
    try:
        yield emulator
    finally:
        emulator.destroy()
