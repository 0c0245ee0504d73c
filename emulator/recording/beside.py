"""Starts the second emulator of a replay, from this checkout or another, and ends it for sure."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

from emulator import control
from emulator.process import CalledWrongly, StartError, die_with
from emulator.recording import second
from emulator.state.folder import State
from emulator.state.snapshots import copy_tree
from runtime.services import ROOT

_CODE = "eco2-code-"
# Of the developer's shell: where the first emulator is, and servers that are not to be touched.
_NOT_PASSED = {"ECO2_STATE", "ECO2_CLOCK_FILE", "ECO2_SPANS"}
_NOT_PASSED |= {"DATABASE_URL", "BROKER_REDIS_URL", "CACHE_REDIS_URL", "S3_ENDPOINT_URL"}
_ENDING = 30.0


class Beside:
    """A second emulator that runs: its state and the addresses of its parts."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.gateway = str(control.find(state)["gateway"])
        self.environment: dict[str, str] = control.ask(state, "environment")["environment"]

    @property
    def clock(self) -> Path:
        return self.state.path / "clock"


@contextlib.contextmanager
def beside(
    state: State, snapshot: Path, at: float, code: Path, ai: str, settings: Mapping[str, str]
) -> Iterator[Beside]:
    """Start an emulator of `code` on a copy of the snapshot, at that time; it is gone after the block.

    Args:
        state: the state folder whose passwords the snapshot has, and whose model's file is taken.
        ai: who answers: as a recording says.

    Raises:
        StartError: it did not start; one line.
    """
    second.remove_left()
    folder = State(Path(tempfile.mkdtemp(prefix=second.PREFIX)))
    try:
        folder.create()
        for name in ("secrets.json", "model"):
            if (state.path / name).exists():
                copy_tree(state.path / name, folder.path / name)
        (folder.path / "snapshots").mkdir(mode=0o700)
        (folder.path / "snapshots" / "start").symlink_to(snapshot.absolute())
        with _process(folder, at, code, ai, settings) as process:
            _wait(process, code)
            yield Beside(folder)
    finally:
        second.remove(folder.path)


@contextlib.contextmanager
def _process(
    folder: State, at: float, code: Path, ai: str, settings: Mapping[str, str]
) -> Iterator[subprocess.Popen[str]]:
    environ = {name: value for name, value in os.environ.items() if name not in _NOT_PASSED}
    environ |= {"PYTHONPATH": str(code), "PYTHONUNBUFFERED": "1", **settings}
    argv = [sys.executable, "-m", "emulator.recording.second", "--state", str(folder.path), "--at", repr(at)]
    argv += ["--ai", ai] if ai in ("embedded", "stub") else []
    parent = os.getpid()
    with (folder.path / "logs" / "eco2.log").open("ab") as log:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            cwd=code,
            env=environ,
            start_new_session=True,
            # However this process ends, the second one hears of it, and ends in order.
            preexec_fn=lambda: die_with(parent, signal.SIGTERM),
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_ENDING)
        except subprocess.TimeoutExpired:
            process.kill()  # its parts end with it
            process.wait()


def _wait(process: subprocess.Popen[str], code: Path) -> None:
    """Until it is ready. What it says from then on is left in the pipe: a few lines."""
    assert process.stdout is not None
    out: IO[str] = process.stdout
    for line in out:
        word, _, text = line.rstrip("\n").partition(" ")
        if word == "ready":
            return
        if word == "error":
            raise StartError(f"the second system did not start: {text}")
    raise StartError(f"the second system ended at its start: is the code in {code} as old as recordings are new?")


@contextlib.contextmanager
def code_of(wanted: str | None) -> Iterator[Path]:
    """The checkout that is meant: this one, another's path, or a commit or branch in a work tree for the length of the block.

    Raises:
        CalledWrongly: it is neither.
    """
    if wanted is None:
        yield ROOT
        return
    path = Path(wanted).absolute()
    if path.is_dir():
        if not (path / "emulator" / "recording" / "second.py").exists():
            raise CalledWrongly(f"{path} is not a checkout that can replay: it has no emulator/recording/second.py")
        yield path
        return
    git = ["git", "-C", str(ROOT)]
    found = subprocess.run(
        [*git, "rev-parse", "--verify", "--quiet", f"{wanted}^{{commit}}"], capture_output=True, text=True, check=False
    )
    if found.returncode != 0:
        raise CalledWrongly(f"{wanted} is neither the folder of a checkout nor a commit or branch of this one")
    subprocess.run([*git, "worktree", "prune"], check=False, capture_output=True)
    folder = Path(tempfile.mkdtemp(prefix=_CODE)) / "code"
    try:
        command = [*git, "worktree", "add", "--detach", "--quiet", str(folder), found.stdout.strip()]
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        if made.returncode != 0:
            raise StartError(f"no work tree of {wanted}: {made.stderr.strip().splitlines()[-1]}")
        if not (folder / "emulator" / "recording" / "second.py").exists():
            raise CalledWrongly(f"{wanted} is older than recordings: it has no emulator/recording/second.py")
        yield folder
    finally:
        subprocess.run([*git, "worktree", "remove", "--force", str(folder)], check=False, capture_output=True)
        shutil.rmtree(folder.parent, ignore_errors=True)
