"""Names of items in a text."""

import re
from collections.abc import Iterable, Iterator

from msgspec import Struct

from functions.ai import facts as reading
from functions.ai.facts import plain
from functions.ai.retrieval import Item
from functions.ai.sounds import folded
from functions.ai.vocabulary import GRAMMAR, ROLES

_PARTICLE = re.compile(GRAMMAR.particles.source)
MEASURED = re.compile(rf"(?:{GRAMMAR.counts.source}|\d)\s*$")
_NO_NAME = re.compile(GRAMMAR.no_names.source)
_ADNOMINAL = re.compile(rf"{reading.ending_in(4)}\s$|{reading.ending_in(8)}\s$")
# Syllables of a name that is found by its sound.
SOUNDED = 3
# What a thing is in, at the end of its name.
HELD = re.compile(rf"(?:{ROLES.holders.source})$")


class Mention(Struct, frozen=True):
    """An item named in a text, and where: offsets into the plain text."""

    item: Item
    start: int
    end: int

    def words(self, text: str) -> str:
        """The name as the text has it."""
        return text[self.start : self.end]


def mentions(text: str, items: Iterable[Item]) -> list[Mention]:
    """The items whose names are in the (plain) text, longest names first served, in the order of the text."""
    letters = _Letters(text)
    found = [Mention(item, *span) for item in items for name in item.names() for span in letters.find(plain(name))]
    # A name with which a word begins comes before one inside of a word (아이스박스 before 박스 테이프), a longer one says more
    # ("페트병 뚜껑" before "페트병"); among equals the search's order holds (sort is stable).
    found = sorted(found, key=lambda one: (_within(one, found), not letters.begin(one.start), one.start - one.end))
    taken: list[Mention] = []
    for mention in found:
        free = all(mention.end <= other.start or mention.start >= other.end for other in taken)
        if free and all(mention.item.id != other.item.id for other in taken):
            taken.append(mention)
    return sorted(taken, key=lambda mention: mention.start)


def _within(one: Mention, found: list[Mention]) -> bool:
    """Whether it is a piece of a longer name: 찌꺼기 in "원두커피 찌꺼기"."""
    length = one.end - one.start
    return any(
        other.start <= one.start and one.end <= other.end and other.end - other.start > length for other in found
    )


# Words for one thing, of as many letters.
_SAME = (("봉투", "봉지"), ("박스", "상자"))


def _sounding(text: str) -> str:
    """A text as its names may be heard: of as many letters."""
    for said, named in _SAME:
        text = text.replace(said, named)
    return folded(text)


class _Letters:
    """A text without blanks and signs, in which names are looked for: people write "페트병뚜껑" and "페트병 뚜껑"."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.places = [place for place, letter in enumerate(text) if letter.isalnum()]
        self.squeezed = "".join(text[place] for place in self.places)
        self.sounding = _sounding(self.squeezed)
        # Whether a word of the text begins here; one more for the end.
        self.begins = [
            number == 0 or self.places[number - 1] != place - 1 for number, place in enumerate(self.places)
        ] + [True]

    def find(self, name: str) -> Iterable[tuple[int, int]]:
        """Where a name is, as offsets into the text."""
        name = "".join(letter for letter in name if letter.isalnum())
        exactly = list(self._spans(name, self.squeezed))
        # A short name sounds like many a word: 병 and 뼝, 개 and 게.
        sounds = len(name) >= SOUNDED and not name.isascii() and not exactly
        if not sounds:
            yield from exactly
        elif _sounding(name[:2])[0] in self.sounding:
            # Most names begin with a sound that the text has not: their other letters need no folding.
            yield from (span for span in self._spans(_sounding(name), self.sounding) if not self._said_else(span[1]))

    def _said_else(self, end: int) -> bool:
        """Whether a name that is heard would end in a small word: "형광등 갓" is not in "형광등 같이"."""
        begin = self.text.rfind(" ", 0, end) + 1
        return begin > 0 and GRAMMAR.filler.is_all(self.text[begin:].partition(" ")[0])

    def begin(self, place: int) -> bool:
        """Whether a word of the text begins at that offset."""
        return place == 0 or not self.text[place - 1].isalnum()

    def _spans(self, name: str, within: str) -> Iterator[tuple[int, int]]:
        start = within.find(name)
        while start >= 0:
            end = start + len(name)
            if self._whole(name, start, end) and not self._otherwise(self.places[start], self.places[end - 1] + 1):
                yield self.places[start], self.places[end - 1] + 1
            start = within.find(name, start + 1)

    def _otherwise(self, start: int, end: int) -> bool:
        """Whether the letters are another word, two things of a list ("식탁, 의자"), or a measure ("한 박스")."""
        other = _NO_NAME.match(self.text, start)
        bound = GRAMMAR.bound.is_all(self.text[start:end]) and _ADNOMINAL.search(self.text[:start])
        return bool(
            bound
            or (other and other.end() >= end)
            or re.search(r"[,/·;]", self.text[start:end])
            or (GRAMMAR.measures.is_all(self.text[start:end]) and MEASURED.search(self.text[:start]))
        )

    def _whole(self, name: str, start: int, end: int) -> bool:
        """Whether it is the name there, and not letters in the middle of other words."""
        word_end = next(number for number in range(end, len(self.begins)) if self.begins[number])
        rest = self.squeezed[end:word_end]
        if name.isascii():
            return self.begins[start] and (rest in ("", "s", "es") or not rest[0].isascii())
        # Short Korean names are syllables of many other words: 병 in 생수병, 김치 in 김치찌개.
        if len(name) <= 2:
            return self.begins[start] and (not rest or _PARTICLE.fullmatch(rest) is not None or rest.startswith("수거"))
        begins = self.begins[start + 1 : end]
        if any(begins) and ((rest and begins[-1] and _PARTICLE.fullmatch(rest) is None) or GRAMMAR.packed.at(rest, 0)):
            # "에어프라이어 망" is not in "에어프라이어 망가졌어", nor "페트병 비닐" in "페트병 비닐봉지째".
            return False
        if self.begins[start] or len(name) >= 4:
            return True
        # "갈릭소스 통은": the last word says what it is.
        return bool(HELD.search(name)) and (not rest or _PARTICLE.fullmatch(rest) is not None)
