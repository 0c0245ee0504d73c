"""Other texts for the same thing: in other words, in another order, without what says little, and in the singular."""

import re
from collections.abc import Iterator
from itertools import accumulate

from functions.recycle_info.search_rules import RULES

# A name inside a Korean sentence: syllables of the longest one looked for.
LONGEST_PART = 12
# Variants of a text that are looked up: the work for a query stays bounded.
MOST_VARIANTS = 60
# The place of ㅅ among the final consonants of Unicode's syllables.
SIOT = 19

_HANGUL = re.compile(r"[가-힣]")
_KIND = {word: kind for kind, words in RULES.kinds.items() for word in words}
# "1리터", "4인용", "500ml": how much or how many says nothing about what a thing is.
_AMOUNT = re.compile(
    r"\d+(?:[가-힣]{1,3}|[a-z]{1,2})?"
    "|(?:한|두|세|네|다섯|몇|반)(?:개|봉지|팩|통|병|캔|박스|상자|장|켤레|벌|마리|포대|줄|판|묶음|망|포기|자루|그릇|컵|조각|권|쪽|송이|포|알|단)"
)
# "떼낸거", "눅눅한 것": a verb or an adjective before 것 ends with ㄴ.
_HOW = re.compile("[가-힣]+(?:거|것|걸)")
NIEUN = 4
# "유아용 변기": for whom or what it is.
_PURPOSE = re.compile("(?<=[가-힣]{2})용(?=[가-힣]{2})")


def alike(core: str) -> Iterator[str]:
    """The text with another word for the same thing at its end: "신발상자" is "신발박스"."""
    for words in RULES.alike:
        word = max((word for word in words if core.endswith(word)), key=len, default="")
        if 0 < len(word) < len(core):
            yield from (core[: -len(word)] + other for other in words if other != word)


def turned(words: list[str]) -> Iterator[str]:
    """With how the thing is before it: "뒤집개 실리콘" is "실리콘 뒤집개", "전단지 코팅된거" is "코팅된 전단지"."""
    if len(words) == 1:
        # "계란판종이"
        stuff = max((one for one in RULES.afterwards | RULES.materials if words[0].endswith(one)), key=len, default="")
        if len(words[0]) > len(stuff) + 1 > 1:
            yield stuff + words[0].removesuffix(stuff)
    how = words[-1].removesuffix("거").removesuffix("것")
    if len(words) > 1 and (how in RULES.afterwards or how in RULES.materials or 1 < len(how) < len(words[-1])):
        yield "".join([how, *words[:-1]])
        # "일회용 커피컵 플라스틱"
        yield "".join([how, *(word for word in words[:-1] if word not in RULES.qualities)])


def swapped(words: list[str]) -> Iterator[str]:
    """A word with two neighbouring syllables in the other order: 선기풍 is 선풍기."""
    word = words[0]
    if len(words) == 1 and 2 < len(word) <= LONGEST_PART and _HANGUL.match(word):
        yield from (word[:at] + word[at + 1] + word[at] + word[at + 2 :] for at in range(len(word) - 1))


def variants(kept: list[str]) -> list[str]:
    """The text without amounts, materials between its words or a part of food, and with kinds for brands and the like."""
    words = [word for word in kept if not _AMOUNT.fullmatch(word)] or kept
    between = [
        word for number, word in enumerate(words) if number in (0, len(words) - 1) or word not in RULES.materials
    ]
    found = {"".join(words), "".join(between)}
    found |= {_PURPOSE.sub("", text) for text in found}
    found |= set(_linked(words))
    if len(words) > 1 and (words[-1] in RULES.afterwards or _says_how(words[-1])):
        found.add("".join(words[:-1]))
    # A kind of one syllable needs a word of its own: 배 포장망, but not 배터리.
    found |= {"".join([_KIND[word], *words[1:]]) for word in words[:1] if word in _KIND}
    # "캔사료", "병맥주": what it came in stands first.
    found |= {text.removeprefix(one) + one for text in [*found] for one in RULES.containers if text.startswith(one)}
    stuff = next((one for one in RULES.materials if words[-1].startswith(one) and words[-1] != one), "")
    if stuff and len(words) > 1:
        found.add("".join([*words[:-1], words[-1].removeprefix(stuff)]))
    found |= {_KIND[word] + text.removeprefix(word) for text in found for word in _begins(text)}
    for text in [*found]:
        found |= {
            text.removesuffix(part) for part in RULES.food_parts if text.endswith(part) and len(text) > len(part) + 1
        }
        found |= set(alike(text))
    return sorted(found - {"".join(kept)})[:MOST_VARIANTS]


def _says_how(word: str) -> bool:
    """Whether it only says what has become of the thing before it: "다시마 건진거" is "다시마"."""
    return bool(_HOW.fullmatch(word)) and len(word) > 2 and (ord(word[-2]) - ord("가")) % 28 == NIEUN


def _linked(words: list[str]) -> Iterator[str]:
    """The text with an ㅅ between two parts of a compound or without it: 고추가루 is 고춧가루."""
    text = "".join(words)
    if not 2 < len(text) <= LONGEST_PART:
        return
    for end in [*accumulate(map(len, words))][:-1] or range(1, len(text)):
        syllable = text[end - 1]
        if _HANGUL.match(syllable) and (final := (ord(syllable) - ord("가")) % 28) in (0, SIOT):
            yield text[: end - 1] + chr(ord(syllable) + (SIOT if final == 0 else -SIOT)) + text[end:]


def _begins(text: str) -> list[str]:
    """The longest word that is a kind of something with which a text begins."""
    found = [text[:end] for end in range(min(len(text), LONGEST_PART), 1, -1) if text[:end] in _KIND]
    return found[:1]


def singulars(phrase: str) -> Iterator[str]:
    """The text, and what it may be in the singular."""
    yield phrase
    if phrase.isascii() and len(phrase) > 3:
        if phrase.endswith("ies"):
            yield phrase[:-3] + "y"
        if phrase.endswith("es"):
            yield phrase[:-2]
        if phrase.endswith("s"):
            yield phrase[:-1]
