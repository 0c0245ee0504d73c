"""A state folder that started once: an emulator on a copy of it spends half of the processor that a first start takes."""

import fcntl
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from emulator.servers.postgres import remove_cluster
from emulator.state.folder import State

# Of one run alone: ports that two copies would both find free, and what tells who holds the folder.
NOT_COPIED = ("ports.json", "lock", "emulator.json")


@contextmanager
def prepared(common: Path, start: Callable[[Path], None]) -> Iterator[Path]:
    """The folder, made by `start` for the first of the test run's processes, and gone after the last.

    Args:
        common: A folder that all processes of the run share.
        start: Starts an emulator on an empty folder and stops it.
    """
    with _users(common) as users:
        if not users:
            users.append(tempfile.mkdtemp(prefix="eco2-prepared-"))
            start(Path(users[0]))
        folder = Path(users[0])
        users.append("a process")
    try:
        yield folder
    finally:
        with _users(common) as users:
            users.pop()
            if len(users) == 1:
                users.clear()
                remove_cluster(State(folder))
                shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _users(common: Path) -> Iterator[list[str]]:
    """The folder's path and a line for each process that uses it; other processes wait until the block ends."""
    with (common / "eco2-prepared").open("a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        users = file.read().splitlines()
        yield users
        file.truncate(0)
        file.write("".join(f"{line}\n" for line in users))


def copy(folder: Path, to: Path) -> None:
    """Copy a prepared state into an empty folder, owners and all."""
    # A state that PostgreSQL's user can't reach has its cluster elsewhere: two emulators must not share that.
    if (folder / "postgres").is_symlink():
        shutil.copytree(folder / "model", to / "model")
        return
    subprocess.run(["cp", "-a", f"{folder}/.", str(to)], check=True)
    for name in NOT_COPIED:
        (to / name).unlink(missing_ok=True)
