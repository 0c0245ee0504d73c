"""Slips are ones that Python accepts, each at one place, and the same seed draws the same ones."""

import ast
from pathlib import Path
from typing import Any

import pytest

from runtime.services import ROOT
from tests.mutants.__main__ import GROUPS, LIMITS, drawn, known_slips, named, narrowed, words
from tests.mutants.operators import mutants
from tests.mutants.places import around, watched
from tests.quick import slowly

SOURCE = '''
async def take(conn, lock, limit, *, quick):
    """Take one."""
    if limit is None or limit < 1:
        raise ValueError("at least one")
    async with lock:
        await conn.execute(
            """
            SELECT id FROM works
            WHERE owner = %(owner)s AND due_at <= %(now)s AND runs >= %(runs)s
            ORDER BY due_at LIMIT %(most)s
            FOR UPDATE SKIP LOCKED
            """,
            {"most": limit + 20},
            prepare=True,
        )
        log.info("taken")
    return ["--single-transaction", quick]
'''


@pytest.mark.parametrize(
    ("kind", "after"),
    [
        ("comparison", "if limit is not None or limit < 1:"),
        ("comparison", "if limit is None or limit <= 1:"),
        ("and, or", "if limit is None and limit < 1:"),
        ("condition dropped", "if limit < 1:"),
        ("guard dropped", "if False:"),
        ("with dropped", "if True:"),
        ("lock dropped", "LIMIT %(most)s\n            \n"),
        ("condition dropped", "WHERE (owner = %(owner)s OR true) AND due_at <= %(now)s"),
        ("bound", "AND runs > %(runs)s"),
        ("limit dropped", "LIMIT GREATEST(1000000, %(most)s)"),
        ("order", "ORDER BY due_at DESC LIMIT"),
        ("term dropped", '{"most": (limit)}'),
        ("number", "limit + (20 * 2)"),
        ("flag", "prepare=False"),
        ("option dropped", 'return [*("--single-transaction",)[:0], quick]'),
    ],
)
def test_a_slip_is_one_edit_of_its_kind(tmp_path: Path, kind: str, after: str) -> None:
    file = tmp_path / "take.py"
    file.write_text(SOURCE, encoding="utf-8")
    applied = [one.applied(SOURCE.encode()).decode() for one in mutants(file, tmp_path) if one.kind == kind]
    assert any(after in text for text in applied), applied


def test_the_function_around_a_line_is_the_innermost(tmp_path: Path) -> None:
    file = tmp_path / "nested.py"
    file.write_text("x = 1\n\n\ndef outer():\n    def inner():\n        return 1\n    return inner\n", encoding="utf-8")
    assert [around(file, line)[:1] for line in (1, 4, 6, 7)] == [[], ["outer"], ["inner"], ["outer"]]


def test_who_calls_the_function_and_its_class_are_known_by_name_too(tmp_path: Path) -> None:
    file = tmp_path / "calls.py"
    file.write_text(
        "class Taker:\n    def take(self):\n        return _one()\n\n\n"
        "def _one():\n    return _none()\n\n\ndef _none():\n    return 0\n",
        encoding="utf-8",
    )
    assert around(file, 11) == ["_none", "_one", "take"]
    assert around(file, 3) == ["take", "Taker"]


@pytest.mark.parametrize(
    ("source", "before"),
    [
        ('def take(n):\n    """Take."""\n    if n > 1:\n        return 1\n    return 2\n', ">"),
        ("def take(n, more=3): return n - more\n", "n - more"),
        (
            "def take(n, more=3):\n\n    # why\n    give(n)\n    return (lambda: n > more)()\n\ngive = print\n",
            "give(n)",
        ),
    ],
)
def test_a_slip_tells_whether_its_function_was_entered(tmp_path: Path, source: str, before: str) -> None:
    file, mark = tmp_path / "take.py", tmp_path / "entered"
    file.write_text(source, encoding="utf-8")
    slip = next(one for one in mutants(file, tmp_path) if one.before == before)
    for slipped in (True, False):
        space: dict[str, Any] = {}
        exec(watched(slip, source.encode(), mark, slipped=slipped), space)
        assert not mark.exists()
        space["take"](2)
        space["take"](1)
        assert mark.exists()
        mark.unlink()


def test_what_is_in_no_function_runs_always(tmp_path: Path) -> None:
    file, mark = tmp_path / "limit.py", tmp_path / "entered"
    file.write_text("MOST = 20\n", encoding="utf-8")
    (slip,) = mutants(file, tmp_path)
    assert watched(slip, file.read_bytes(), mark) == b"MOST = (20 * 2)\n"
    assert mark.exists()


def test_what_only_tells_people_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "take.py"
    file.write_text(SOURCE, encoding="utf-8")
    assert not [one for one in mutants(file, tmp_path) if "taken" in one.before and one.kind == "call dropped"]
    file.write_text('log.info("%s", name or 7)\nspans.event("x", trace or "", retry=True)\n', encoding="utf-8")
    assert [one.kind for one in mutants(file, tmp_path) if one.kind != "call dropped"] == []


def test_that_two_lists_are_of_one_length_is_an_assert(tmp_path: Path) -> None:
    file = tmp_path / "pairs.py"
    file.write_text("dict(zip(a, b, strict=True))\nconvert(a, strict=True)\n", encoding="utf-8")
    assert [one.line for one in mutants(file, tmp_path) if one.kind == "flag"] == [2]


def test_an_option_of_a_class_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "kind.py"
    file.write_text(
        "@dataclass(frozen=True)\nclass One:\n    pass\n\n\nclass Kind(Struct, frozen=True):\n    pass\n",
        encoding="utf-8",
    )
    assert mutants(file, tmp_path) == []


def test_how_long_something_waits_is_tuned_and_no_limit(tmp_path: Path) -> None:
    file = tmp_path / "wait.py"
    file.write_text("READ_TIMEOUT = 1.5\nget(url, timeout=3, most=5)\nmetrics.cached('x')\n", encoding="utf-8")
    assert [one.before for one in mutants(file, tmp_path) if one.kind == "number"] == ["5"]
    assert [one.before for one in mutants(file, tmp_path) if one.kind == "call dropped"] == [
        "get(url, timeout=3, most=5)"
    ]


def test_no_one_sees_whether_a_time_comes_in_this_microsecond_or_in_the_next(tmp_path: Path) -> None:
    file = tmp_path / "due.py"
    file.write_text("if due <= clock.now():\n    go()\nif runs <= most:\n    go()\n", encoding="utf-8")
    assert [one.line for one in mutants(file, tmp_path) if one.kind == "comparison"] == [3]


def test_each_slip_that_is_known_to_change_nothing_is_still_one() -> None:
    known = list(known_slips())
    found = {named(one, ROOT) for file in {file for file, *_ in known} for one in mutants(ROOT / file, ROOT)}
    assert [slip for slip in known if slip not in found] == []


def test_of_the_limits_those_of_the_slip_s_module_alone_are_asked() -> None:
    assert (
        narrowed(LIMITS, "shared/rates.py") == f"{LIMITS}::test_a_limit_is_the_one_that_is_written_down[shared.rates]"
    )
    assert narrowed(LIMITS, "emulator/dashboard/table.py") is None
    assert narrowed("tests/test_patience.py", "shared/rates.py") == "tests/test_patience.py"


def test_slow_tests_are_asked_apart_from_the_quick_ones_of_their_file() -> None:
    assert words(["tests/a.py", "tests/b.py"], "shared/rates.py") == ["-m", "not slow", "tests/a.py", "tests/b.py"]
    assert words([slowly("tests/a.py")], "shared/rates.py") == ["-m", "slow", "tests/a.py"]
    assert words(["tests/a.py::test_b"], "shared/rates.py") == ["tests/a.py::test_b"]


def test_slips_are_spread_over_all_packages_drawn_again_by_their_seed_and_read_as_python() -> None:
    some = ("functions/auth", "runtime/journal")
    assert drawn(ROOT, 9, 5, some) == drawn(ROOT, 9, 5, some) != drawn(ROOT, 9, 6, some)
    picked = drawn(ROOT, 3 * len(GROUPS), seed=5)
    assert len({one.file.rpartition("/")[0] for one in picked}) >= len(GROUPS)
    for one in picked:
        ast.parse(one.applied((ROOT / one.file).read_bytes()))
