"""Folders that take long to make, made once for all processes of a test run; each process copies what it needs."""

import fcntl
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def prepared(
    file: Path, make: Callable[[Path], None], remove: Callable[[Path], None] = shutil.rmtree
) -> Iterator[Path]:
    """The folder, filled by `make` for the first of the test run's processes, and gone after the last.

    Args:
        file: Where all processes of the run note that they use it.
        make: Fills the empty folder. What it raises is raised here, and the next process tries again.
        remove: Removes the folder and what belongs to it elsewhere.
    """
    with _users(file) as users:
        if not users:
            fresh = Path(tempfile.mkdtemp(prefix=f"eco2-{file.name}-"))
            try:
                make(fresh)
            except BaseException:
                remove(fresh)
                raise
            users.append(str(fresh))
        folder = Path(users[0])
        users.append("a process")
    try:
        yield folder
    finally:
        with _users(file) as users:
            users.pop()
            if len(users) == 1:
                users.clear()
                remove(folder)


@contextmanager
def _users(file: Path) -> Iterator[list[str]]:
    """The folder's path and a line for each process that uses it; other processes wait until the block ends."""
    with file.open("a+", encoding="utf-8") as notes:
        fcntl.flock(notes, fcntl.LOCK_EX)
        notes.seek(0)
        users = notes.read().splitlines()
        yield users
        notes.truncate(0)
        notes.write("".join(f"{line}\n" for line in users))
