"""One folder a run for all that its processes make in the machine's temporary one; what a killed run left goes with the next.

An emulator that a test has begun outlives a killed run, with its ports and its state of a hundred megabytes.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from emulator.process import born
from emulator.servers.postgres import remove_cluster
from emulator.state.folder import State
from runtime.services import ROOT

_PREFIX = "eco2-run-"


def begin() -> Path:
    """Have this process, and those that it starts, make temporary files in a folder of this run's own."""
    place = Path(tempfile.gettempdir())
    sweep(place)
    # Where a failed test's files are looked for stays as it is.
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(place))
    folder = place / named(os.getpid())
    folder.mkdir()
    folder.chmod(0o711)  # PostgreSQL runs as somebody else, below it
    tempfile.tempdir = os.environ["TMPDIR"] = str(folder)
    return folder


def named(pid: int) -> str:
    """The name of a run's folder: its process, and no later one of the same number."""
    return f"{_PREFIX}{pid}-{born(pid)}"


def sweep(place: Path) -> None:
    """Remove the folders of runs whose process is gone."""
    for folder in place.glob(f"{_PREFIX}*-*"):
        pid = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if pid.isdecimal() and folder.name != named(int(pid)):
            with contextlib.suppress(FileNotFoundError):  # another run that begins just now removes it, too
                remove(folder)


def remove(folder: Path) -> None:
    """End the emulators that still run in a run's folder, and delete it."""
    for state in folder.iterdir():
        if (state / "emulator.json").exists():
            words = [sys.executable, "-m", "runtime.cli", "down", "--state", str(state)]
            subprocess.run(words, cwd=ROOT, capture_output=True, timeout=120, check=False)
        if state.is_dir():
            remove_cluster(State(state))  # which may be elsewhere
    shutil.rmtree(folder, ignore_errors=True)
