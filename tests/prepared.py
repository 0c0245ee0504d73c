"""Folders that take long to make, made once for all processes of a test run; each process copies what it needs."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from emulator.servers.postgres import remove_cluster
from emulator.state.folder import State
from tests.clusters import Clusters

# Names a folder where another process has made the clusters: `make mutants` runs the tests a hundred times.
CLUSTERS = "ECO2_CLUSTERS"


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


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of this run share."""
    base = tmp_path_factory.getbasetemp()
    # A process of pytest-xdist has a folder inside of the run's.
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def clusters(run_folder: Path) -> Iterator[Clusters]:
    """Copies of PostgreSQL clusters: `clusters.migrated(tmp_path / "state").start()`."""
    if CLUSTERS in os.environ:
        yield Clusters(Path(os.environ[CLUSTERS]))
        return
    with prepared(run_folder / "clusters", Clusters.make) as folder:
        yield Clusters(folder)


@pytest.fixture(scope="session")
def model(run_folder: Path) -> Iterator[Path]:
    """The classifier's file, built once for all emulators of the run."""

    def build(folder: Path) -> None:
        from functions.ai import model_build

        model_build.main([str(folder)], say=lambda text: None)

    with prepared(run_folder / "model", build) as folder:
        yield folder


@pytest.fixture(scope="session")
def started_once(model: Path, run_folder: Path) -> Iterator[Path]:
    """An emulator's state that ran once; a start on a copy of it takes a third of what a first one does.

    `tests.emulator.conftest.copied` makes the copy.
    """
    from tests.emulator.conftest import Emulator

    def start(folder: Path) -> None:
        shutil.copytree(model, folder / "model")
        first = Emulator(folder, forks=True)
        first.up()
        first.down()

    def remove(folder: Path) -> None:
        remove_cluster(State(folder))
        shutil.rmtree(folder, ignore_errors=True)

    with prepared(run_folder / "started", start, remove) as folder:
        yield folder
