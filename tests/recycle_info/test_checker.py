"""What `make check` says about items that are wrong. Each test breaks one thing of an item that is right."""

from typing import Any

import msgspec
import pytest

from functions.recycle_info import checker, dataset
from tests import items


def files(**changes: Any) -> list[dataset.File]:
    """The project's own items of paper, one of them changed."""
    (paper,) = [file for file in items.files() if file.category == "paper"]
    first, *others = paper.items
    return [msgspec.structs.replace(paper, items=[msgspec.structs.replace(first, **changes), *others])]


def test_the_items_of_the_project_are_right() -> None:
    assert checker.problems(items.files()) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"synonyms": ["피자 상자"]}, "is newspaper's name too"),
        ({"synonyms_en": ["PIZZA-BOX"]}, "is newspaper's name too"),
        ({"how": ["적당히 버립니다."], "how_en": ["Throw it away."]}, "name no bin and no service"),
        (
            {
                "how": ["종이류로 배출합니다.", "저기에 넣습니다."],
                "how_en": ["Put it out with paper.", "Put it there."],
            },
            "a step names no bin",
        ),
        (
            {"how": ["종이류로 배출합니다."], "how_en": ["Put it out with plastics."]},
            "paper, plastics in one language only",
        ),
        (
            {"how": ["종이류로 배출합니다."], "how_en": ["Tie it.", "Put it out with paper."]},
            "1 lines in Korean and 2 in English",
        ),
        (
            {"do_not": ["유리병류에 섞지 마세요."], "do_not_en": ["Do not mix it with metal."]},
            "glass, metal in one language only",
        ),
        ({"answers": {}}, "answers no question"),
        (
            {"do_not": ["뚫지 마세요. 터질 수 있습니다."], "do_not_en": ["Do not pierce it: it may burst."]},
            "what to do first",
        ),
        ({"answers": {"rinse": {"ko": "네, 헹굽니다.", "en": "No, never."}}}, "begins with yes in one language only"),
        ({"answers": {"rinse": {"ko": "물로 헹굽니다.", "en": "Rinse it."}}}, "begins with neither"),
        ({"exceptions": {"dirty": {"ko": "종량제봉투에 넣습니다.", "en": "Wash it."}}}, "bag in one language only"),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, Any], said: str) -> None:
    problems = checker.problems(files(**changes))
    assert any(said in problem for problem in problems), problems


def test_a_category_without_items_is_named() -> None:
    first, *others = items.files()
    found = [msgspec.structs.replace(first, items=[]), *others]
    assert checker.problems(found) == ["no item is of the category paper"]
