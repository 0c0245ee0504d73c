"""The figures of `make house` are counted right, and what it excuses is still there."""

import ast
from pathlib import Path

import pytest

from runtime.services import ROOT
from tests import house


def write(root: Path, **files: str) -> Path:
    for folder in house.OWN:
        (root / folder).mkdir()
    for name, text in files.items():
        (root / "shared" / f"{name}.py").write_text(text, encoding="utf-8")
    return root


def test_a_circle_is_found_however_it_is_closed(tmp_path: Path) -> None:
    write(
        tmp_path,
        a="from shared.b import thing\n",
        b="def late():\n    from shared import c\n",
        c="from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from shared.a import Kind\n",
        d="import shared.a\n",
    )
    assert house.circles(house.graph(tmp_path)) == [frozenset({"shared.a", "shared.b", "shared.c"})]


def test_modules_that_only_meet_below_are_no_circle(tmp_path: Path) -> None:
    write(tmp_path, a="from shared import b, c\n", b="from shared import c\n", c="import os\n")
    assert house.circles(house.graph(tmp_path)) == []


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("def f(): pass", 0),
        ("def f(a):\n    if a and b or c:\n        return 1\n    return 2 if a else 3", 4),
        ("def f(a):\n    for x in a:\n        while x:\n            x -= 1\n    return [y for y in a if y]", 3),
        ("def f(a):\n    try:\n        pass\n    except OSError:\n        pass\n    match a:\n        case 1: pass", 2),
        ("def f():\n    def g(a):\n        return 1 if a else 2\n    return g", 0),
    ],
)
def test_branches_are_those_of_a_functions_own_lines(text: str, count: int) -> None:
    assert house.branches(ast.parse(text).body[0]) == count


def test_there_is_no_circle_but_the_excused_ones() -> None:
    assert set(house.circles(house.graph(ROOT))) == set(house.CIRCLES)


def test_what_is_excused_has_not_gone_meanwhile() -> None:
    assert set(house.TESTED_ELSEWHERE) <= set(house.untested(ROOT))
    for reason in house.TESTED_ELSEWHERE.values():
        file = reason.partition(":")[0]
        assert (ROOT / file).is_file(), reason


def test_a_photos_files_are_there() -> None:
    assert [name for name in house.photo(ROOT) if not (ROOT / name).is_file()] == []
