"""What takes long and what goes wrong, added up: the counts are true, and their number is bounded."""

import random
import statistics
from typing import Any

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


def test_what_comes_again_is_kept_longest_and_shown_by_its_slowest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slow, "FUNCTIONS", 2)
    monkeypatch.setattr(slow, "ERRORS", 2)
    counted = Slow()
    for trace, name, ms in (
        ("a", "GET /1", 5),
        ("b", "GET /2", 1),
        ("c", "GET /1", 7),
        ("d", "GET /3", 1),
        ("e", "GET /1", 6),
    ):
        counted.add(span("s", "server", name, 10 * ms, ms, status=500, said="x" * 400) | {"trace": trace})
    assert [(one["function"], one["trace"], one["most"], one["mean"]) for one in counted.functions("most", 9)] == [
        ("GET /1", "c", 7, 6.0),
        ("GET /3", "d", 1, 1.0),
    ]
    assert [one["function"] for one in counted.functions("count", 1)] == ["GET /1"]
    first, last = counted.errors(9)
    assert (first["where"], first["count"], first["last"], first["trace"]) == ("GET /1", 3, 43200.06, "e")
    assert (last["where"], len(last["said"]), counted.errors(1)) == ("GET /3", 300, [first])
    counted.add(span("f", "server", "GET /3", 90, 1, status=500))
    counted.add(span("g", "server", "GET /3", 91, 1, status=500))
    assert [one["where"] for one in counted.errors(9)] == ["GET /3", "GET /1"], "of two as often the later"


@pytest.mark.parametrize(
    ("kind", "name", "facts", "listed", "wrong"),
    [
        ("sql", "SELECT 1", {}, "statement", None),
        ("sql", "SELECT 1", {"error": "Deadlock"}, "statement", ("sql", "Deadlock")),
        ("server", "GET /x", {"status": 499}, "function", None),
        ("server", "GET /x", {"status": 500}, "function", ("GET /x", "500")),
        ("task", "ai/look", {"status": "failure"}, "function", ("ai/look", "failure")),
        ("result", "waste/seen", {"status": "success"}, "function", None),
        ("result", "waste/seen", {"error": "KeyError"}, "function", ("waste/seen", "KeyError")),
        ("server", "GET /api/v1/waste/openapi.json", {}, "", None),
        ("server", "GET unmatched", {"status": 500}, "", ("GET unmatched", "500")),
        ("gateway", "GET → api-waste", {"status": 503}, "", ("GET → api-waste", "503")),
        ("s3", "PUT", {"error": "AccessDenied"}, "", ("s3", "AccessDenied")),
        ("redis", "GET", {"error": "away"}, "", None),
    ],
)
def test_what_is_added_up_as_what(
    kind: str, name: str, facts: dict[str, Any], listed: str, wrong: tuple[str, str] | None
) -> None:
    counted = Slow()
    counted.add(span("a", kind, name, 0, 1, **facts))
    found = {"statement": counted.statements("total", 9), "function": counted.functions("total", 9)}
    assert {what: [one[what] for one in rows] for what, rows in found.items()} == {
        what: [name] if what == listed else [] for what in found
    }
    failures = [one["failures"] for rows in found.values() for one in rows]
    assert failures == ([int(wrong is not None)] if listed else [])
    assert [(one["where"], one["error"]) for one in counted.errors(9)] == ([wrong] if wrong else [])


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
