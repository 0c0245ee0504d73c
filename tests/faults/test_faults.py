"""Every row of the fault table in its quick form; `make faults` runs the whole of it."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clusters import Clusters
from tests.faults.__main__ import run_row
from tests.faults.system import Bench, bench
from tests.faults.table import ROWS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shared(clusters: Clusters, started_once: Path) -> Iterator[Bench]:
    folder = Path(tempfile.mkdtemp(prefix="eco2-faults-"))
    folder.chmod(0o755)
    # A cluster of its own: a row that terminates every backend must not meet other tests.
    server = clusters.migrated(folder / "postgres")
    try:
        with bench(folder, server.start(), started_once) as made:
            yield made
    finally:
        server.destroy()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("number", sorted(ROWS), ids=lambda number: f"{number}-{ROWS[number].fault}")
def test_accepted_work_survives(number: int, shared: Bench) -> None:
    result = run_row(shared, ROWS[number], 20_260_000 + number, full=False)
    if why := result["found"].get("not run"):
        pytest.skip(why)
    assert result["passed"], f"{result['found']} (again: python -m tests.faults --seed {result['seed']} {number})"
