"""Korean from the keys of an English keyboard."""

import pytest

from functions.recycle_info import keyboard, words


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("vpxmqud", "페트병"),
        ("dbflqud", "유리병"),
        ("rkwkd Qodl", "가장 빼이"),
        ("rkqt", "값"),
        ("rkqtl", "갑시"),
        ("dmlwk", "의자"),
        ("RkEk", "까따"),
        ("ghkqns", "화분"),
    ],
)
def test_the_same_keys_write_whole_syllables(typed: str, meant: str) -> None:
    assert keyboard.hangul(typed) == meant


@pytest.mark.parametrize("typed", ["can", "pan", "book", "pet bottle", "tv", "r", "", " ", "4k", "vpxm-qud"])
def test_english_words_and_signs_are_none(typed: str) -> None:
    assert keyboard.hangul(typed) is None


def test_first_consonants_are_asked_for_as_such_and_nothing_else() -> None:
    assert words.read("ㄱㅈㅈ").initials == "ᄀᄌᄌ"
    assert words.read("ㄱㅈㅈ").phrases == {}
    assert words.read("ㄱ").initials == words.read("건전지").initials == words.read("ㅋㅋ 건전지").initials == ""
