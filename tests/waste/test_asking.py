"""The questions that a photo leaves open."""

import pytest

from functions.waste.asking import ask, words
from shared.waste_types import WASTE_TYPES

KINDS = [kind for kind in WASTE_TYPES if kind != "unknown"]


def test_every_kind_has_a_name_and_every_pair_is_of_two_kinds_in_order() -> None:
    assert list(words().names) == KINDS
    for pair in words().pairs:
        first, second = pair.split()
        assert {first, second} < set(KINDS)
        assert first < second, f"{pair!r} is never found"


def test_every_question_is_one_and_fits_on_a_phone() -> None:
    for one in KINDS:
        for other in KINDS:
            if one != other:
                asked = ask([one, other])
                assert asked is not None
                assert asked.options == [one, other]
                assert "?" in asked.question
                assert len(asked.question) <= 70


def test_a_pair_with_a_question_of_its_own_is_asked_that_in_either_order() -> None:
    for pair, question in words().pairs.items():
        for options in (pair.split(), pair.split()[::-1]):
            asked = ask(options)
            assert asked is not None
            assert asked.question == question


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["vinyl", "clothing"], "비닐과 의류 중"),
        (["glass", "battery"], "유리와 전지 중"),
        (["food", "glass", "paper"], "음식물, 유리와 종이 중"),
    ],
)
def test_kinds_without_a_question_of_their_own_are_named(options: list[str], said: str) -> None:
    asked = ask(options)
    assert asked is not None
    assert said in asked.question


def test_the_particle_follows_the_last_sound_of_each_name() -> None:
    closed = {
        "plastic",
        "pet_clear",
        "vinyl",
        "metal",
        "lighting",
        "electronics",
        "food",
        "bulky",
        "styrofoam",
        "paper_pack",
    }
    for kind in KINDS:
        asked = ask(["paper", kind, "general"])
        assert asked is not None
        name = words().names[kind]
        assert f"종이, {name}{'과' if kind in closed else '와'} 일반쓰레기 중" in asked.question


def test_nothing_is_asked_where_there_is_no_choice() -> None:
    assert ask([]) is None
    assert ask(["glass"]) is None
