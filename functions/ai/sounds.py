"""Names as people write them: as they sound (텔레비젼, 빨때 and 찌게 for 텔레비전, 빨대 and 찌개), or but for a letter or two."""

import re
import unicodedata
from collections.abc import Iterable
from difflib import SequenceMatcher
from functools import lru_cache

from functions.ai.facts import plain

_HANGUL = re.compile(r"[가-힣]")
_FIRST, _LAST = 0xAC00, 0xD7A3
_VOWELS, _FINALS = 21, 28
# Initial consonants, vowels and final consonants by their numbers in a syllable: what is on the left sounds like the right.
_INITIAL = {1: 0, 4: 3, 8: 7, 10: 9, 13: 12}  # ㄲ ㄸ ㅃ ㅆ ㅉ as ㄱ ㄷ ㅂ ㅅ ㅈ
_VOWEL = {1: 5, 3: 7, 10: 11, 15: 11}  # ㅐ ㅒ as ㅔ ㅖ; ㅙ ㅞ as ㅚ
_AFTER_J = {2: 0, 6: 4, 7: 5, 12: 8, 17: 13}  # ㅑ ㅕ ㅖ ㅛ ㅠ after ㅈ and ㅊ as ㅏ ㅓ ㅔ ㅗ ㅜ
_FINAL = {2: 1, 24: 1, 26: 17, 19: 7, 20: 7, 22: 7, 23: 7, 25: 7}  # ㄲ ㅋ as ㄱ; ㅍ as ㅂ; ㅅ ㅆ ㅈ ㅊ ㅌ as ㄷ
_J = (12, 14)


def folded(text: str) -> str:
    """The text with one letter for those that sound alike; as many letters as before."""
    return "".join(map(_syllable, text))


@lru_cache(4096)
def _syllable(letter: str) -> str:
    # Names hold some 1,500 syllables, and every question folds hundreds of names.
    if not _FIRST <= ord(letter) <= _LAST:
        return letter
    rest, final = divmod(ord(letter) - _FIRST, _FINALS)
    initial, vowel = divmod(rest, _VOWELS)
    initial = _INITIAL.get(initial, initial)
    vowel = _VOWEL.get(vowel, vowel)
    if initial in _J:
        vowel = _AFTER_J.get(vowel, vowel)
    return chr(_FIRST + (initial * _VOWELS + vowel) * _FINALS + _FINAL.get(final, final))


_NEARLY = 0.85


def nearly(text: str, names: Iterable[str]) -> bool:
    """Whether a text is one of the names but for a letter or two of a long word; Korean by the letters of its syllables."""
    wanted = _spelt(text)
    return len(wanted) >= _LONG and any(
        wanted[:1] == other[:1] and SequenceMatcher(None, wanted, other).ratio() >= _NEARLY
        for other in map(_spelt, names)
    )


_LONG = 6


def sounds_like(text: str, names: Iterable[str]) -> bool:
    """Whether a Korean text of two syllables or more sounds as one of the names: 밥솟, 밥솥."""
    return len(text) > 1 and _HANGUL.search(text) is not None and folded(text) in map(folded, names)


def _spelt(text: str) -> str:
    return unicodedata.normalize("NFD", "".join(letter for letter in plain(text) if letter.isalnum()))


def closest(text: str, names: Iterable[Iterable[str]]) -> int:
    """Which of several things, by all of its names, is spelt most like a text."""
    wanted = _spelt(text)
    return max(
        enumerate(max(SequenceMatcher(None, wanted, _spelt(name)).ratio() for name in each) for each in names),
        key=lambda one: one[1],
    )[0]
