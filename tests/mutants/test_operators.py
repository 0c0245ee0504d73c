"""Slips are ones that Python accepts, each at one place, and the same seed draws the same ones."""

import ast
from pathlib import Path

import pytest

from runtime.services import ROOT
from tests.mutants.__main__ import GROUPS, drawn, known_slips, named
from tests.mutants.operators import around, mutants

SOURCE = '''
async def take(conn, lock, limit, *, quick):
    """Take one."""
    if limit is None or limit < 1:
        raise ValueError("at least one")
    async with lock:
        await conn.execute(
            """
            SELECT id FROM works
            WHERE owner = %(owner)s AND due_at <= %(now)s
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
        ("bound", "AND due_at < %(now)s"),
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
    assert [around(file, line) for line in (1, 4, 6, 7)] == ["", "outer", "inner", "outer"]


def test_what_only_tells_people_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "take.py"
    file.write_text(SOURCE, encoding="utf-8")
    assert not [one for one in mutants(file, tmp_path) if "taken" in one.before and one.kind == "call dropped"]
    file.write_text('log.info("%s", name or 7)\nspans.event("x", trace or "", retry=True)\n', encoding="utf-8")
    assert [one.kind for one in mutants(file, tmp_path) if one.kind != "call dropped"] == []


def test_an_option_of_a_class_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "kind.py"
    file.write_text("class Kind(Struct, frozen=True):\n    pass\n", encoding="utf-8")
    assert mutants(file, tmp_path) == []


def test_each_slip_that_is_known_to_change_nothing_is_still_one() -> None:
    known = list(known_slips())
    found = {named(one, ROOT) for file in {file for file, *_ in known} for one in mutants(ROOT / file, ROOT)}
    assert [slip for slip in known if slip not in found] == []


def test_slips_are_spread_over_all_packages_drawn_again_by_their_seed_and_read_as_python() -> None:
    picked = drawn(ROOT, 3 * len(GROUPS), seed=5)
    assert picked == drawn(ROOT, 3 * len(GROUPS), seed=5)
    assert picked != drawn(ROOT, 3 * len(GROUPS), seed=6)
    assert len({one.file.rpartition("/")[0] for one in picked}) >= len(GROUPS)
    for one in picked:
        ast.parse(one.applied((ROOT / one.file).read_bytes()))
