"""What takes long and what goes wrong, added up: the counts are true, and their number is bounded."""

import random
import statistics

import psycopg
import pytest

from emulator.dashboard import slow
from emulator.dashboard.guard import Refused
from emulator.dashboard.pages.top import numbered, plan
from emulator.dashboard.slow import Slow
from emulator.servers.postgres import Postgres
from tests.emulator.test_timeline import span


def test_statements_are_sorted_by_what_is_asked() -> None:
    counted = Slow()
    for _ in range(100):
        counted.add(span("a", "sql", "SELECT often", 0, 10))
    for ms in (1, 1, 1, 900):
        counted.add(span("b", "sql", "SELECT seldom", 0, ms))
    assert [one["statement"] for one in counted.statements("total", 9)] == ["SELECT often", "SELECT seldom"]
    assert [one["statement"] for one in counted.statements("p95", 9)] == ["SELECT seldom", "SELECT often"]
    (often,) = counted.statements("count", 1)
    assert (often["count"], often["total"], often["mean"], often["most"]) == (100, 1000.0, 10.0, 10)


def test_the_95th_percentile_is_within_half_of_the_true_one() -> None:
    dice = random.Random(2026)
    times = [dice.lognormvariate(1, 1.5) for _ in range(5000)]
    counted = Slow()
    for ms in times:
        counted.add(span("a", "sql", "SELECT 1", 0, ms))
    (one,) = counted.statements("p95", 1)
    assert 1 / 1.5 <= one["p95"] / statistics.quantiles(times, n=20)[-1] <= 1.5


def test_errors_are_counted_by_kind_with_the_last_ones_words_and_trace() -> None:
    counted = Slow()
    counted.add(span("a", "server", "GET /x", 0, 1, status=500))
    counted.add(span("b", "log", "it broke", 0, 0, level="error", error="KeyError", said="'x'"))
    counted.add(span("c", "log", "it broke", 5, 0, level="error", error="KeyError", said="'y'"))
    counted.add(span("d", "task", "ai/look", 0, 1, status="failure", error="internal"))
    counted.add(span("e", "server", "GET /x", 0, 1, status=404))
    found = {(one["where"], one["error"]): one for one in counted.errors(9)}
    assert set(found) == {("GET /x", "500"), ("log", "KeyError"), ("ai/look", "internal")}
    assert (found["log", "KeyError"]["count"], found["log", "KeyError"]["said"]) == (2, "'y'")
    assert {one["function"]: one["failures"] for one in counted.functions("total", 9)} == {"GET /x": 1, "ai/look": 1}


def test_the_number_of_kinds_is_bounded_and_what_came_last_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slow, "STATEMENTS", 5)
    counted = Slow()
    for number in range(50):
        counted.add(span("a", "sql", f"SELECT {number}", 0, 1))
    assert {one["statement"] for one in counted.statements("total", 99)} == {f"SELECT {n}" for n in range(45, 50)}


def test_a_statement_that_is_longer_than_its_name_is_kept_whole() -> None:
    counted = Slow()
    counted.add(span("a", "sql", "SELECT 1 -- one", 0, 1, statement="SELECT 1 -- one\n"))
    assert counted.statement("waste", "SELECT 1 -- one") == "SELECT 1 -- one\n"
    assert counted.statement("waste", "SELECT 2") is None


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("SELECT %s, %s", "SELECT $1, $2"),
        ("SELECT %(a)s, %(b)s, %(a)s", "SELECT $1, $2, $1"),
        ("SELECT %s LIKE 'x%%'", "SELECT $1 LIKE 'x%'"),
        ("SELECT 5 % 2", "SELECT 5 % 2"),
    ],
)
def test_places_for_values_become_postgresqls(given: str, expected: str) -> None:
    assert numbered(given) == expected


def test_a_plan_is_made_under_the_services_role_and_nothing_is_executed(postgres: Postgres) -> None:
    dsn = postgres.dsn("api_waste_role", search_path="waste")
    assert "analyses" in plan(dsn, "SELECT id FROM analyses WHERE user_id = %s")
    assert "Delete on" in plan(dsn, "DELETE FROM analyses WHERE id = %(id)s")
    with pytest.raises(Refused, match="permission denied"):
        plan(dsn, "SELECT id FROM auth.users WHERE id = %s")
    with pytest.raises(Refused):
        plan(dsn, "SELECT 1; DELETE FROM analyses")
    with psycopg.connect(dsn) as conn:
        assert conn.execute("SELECT count(*) >= 0 FROM analyses").fetchone() == (True,)
