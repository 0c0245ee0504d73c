"""No statement reads a whole table, spills, or reads more as the system grows, unless it is named with its reason.

Two small sizes here; `make growth` goes to a million people.
"""

import inspect
from pathlib import Path

import psycopg
import pytest

from runtime.services import load_services
from shared import clock
from tests import support
from tests.clusters import Clusters
from tests.growth import calls, measure
from tests.growth.data import fill
from tests.growth.plans import Seen

SIZES = (0.001, 0.01)


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("grown")


@pytest.mark.slow
async def test_what_grows_does_not_make_statements_slower_unless_named(
    clusters: Clusters, grown: Path, environment: dict[str, str], keys: support.Keys
) -> None:
    # A cluster of its own: what is filled in here would be in the other tests' lists.
    server = clusters.migrated(grown)
    try:
        server.start()
        own = environment | {
            s.database.env: server.dsn(s.database.role, search_path=s.database.schema) for s in load_services().values()
        }
        seen = []
        for size in SIZES:
            now = clock.now()
            with psycopg.connect(server.dsn("postgres"), autocommit=True) as conn:
                fill(conn, size, now)
            seen.append((size, await measure.statements(own, now)))
        assert len(seen[-1][1]) > 120
        wrong, _ = measure.unnamed(measure.findings(seen))
        assert wrong == []
        await measure.endpoints(own, keys, now, times=1)
    finally:
        server.destroy()


def test_every_function_with_sql_is_called_or_named() -> None:
    now, uncalled = clock.now(), measure.known()[1]
    known = set()
    for folder, name, function in calls.functions():
        known.add(f"{folder}.{name}")
        if f"{folder}.{name}" not in uncalled:
            assert (
                calls.arguments(function, calls.values(folder, now)).keys()
                <= inspect.signature(function).parameters.keys()
            )
    assert uncalled.keys() <= known


def test_a_scan_a_spill_and_a_slope_are_found_and_a_name_with_its_reason_lets_them_pass() -> None:
    def one(buffers: int, *found: str) -> Seen:
        return Seen("waste.delete_person", 1, "", 1.0, buffers, "", list(found))

    found = measure.findings([(0.1, [one(10)]), (1.0, [one(500, "reads all of images", "spills to disk")])])
    assert [finding for _, finding in found] == [
        "reads all of images",
        "reads more as the system grows",
        "spills to disk",
    ]
    wrong, _ = measure.unnamed(found)
    assert wrong == ["waste.delete_person 1: reads all of images", "waste.delete_person 1: spills to disk"]
    assert measure.findings([(0.1, [one(10)]), (1.0, [one(25)])]) == []
