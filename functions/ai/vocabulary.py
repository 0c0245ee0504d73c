"""The words of both languages that questions are read by: the files in `words/`, read once. `checker.py` checks them."""

import re
import unicodedata
from functools import cached_property

from msgspec import Struct, field

from functions.ai.phrases import Lists, Phrases, Words, either, named, read


class Part(Phrases):
    """What a part of a thing is called, and what is asked about it."""

    aspect: str = ""


class Kind(Phrases, kw_only=True):
    """What kind of its kind a thing is said to be: how, and how items' names say it."""

    name: str


class Aspect(Phrases, kw_only=True):
    """What may be asked about a thing, and words by which an item's line is about that."""

    lines: list[str]


class Material(Phrases, kw_only=True):
    """A kind of waste."""

    is_ko: str
    is_en: str


class Situation(Struct, forbid_unknown_fields=True, dict=True):
    """A danger: when it is there, what is to be done first, and the item whose rules follow.

    Where no words are given, its letters alone tell of it (`dangers.py`).
    """

    ko: str
    en: str
    item: str = ""
    all: list[list[str]] = []
    unless: list[str] = []
    instead: bool = False
    always: bool = False
    name: str = ""

    def line(self, language: str) -> str:
        return self.en if language == "en" else self.ko

    def there(self, text: str) -> bool:
        return bool(self.all) and all(words.within(text) for words in self._all) and not self._unless.within(text)

    @cached_property
    def _all(self) -> list[Words]:
        return [Words(Phrases(ko=phrases)) for phrases in self.all]

    @cached_property
    def _unless(self) -> Words:
        return Words(Phrases(ko=self.unless))


class Unknown(Phrases, dict=True):
    """What the items can't say, because each municipality decides it: where the words of `needs` are there too."""

    item: bool = False
    needs: tuple[str, ...] = ()
    what_ko: str = ""
    what_en: str = ""
    text: str = "unknown"
    helper: bool = False
    name: str = ""

    def what(self, language: str) -> str:
        return self.what_en if language == "en" else self.what_ko

    def there(self, text: str) -> bool:
        return all(words.within(text) for words in self._all)

    def holds(self, start: int, end: int, text: str) -> bool:
        """Whether a place in the text belongs to what is not known: a phone number is no phone."""
        return any(said.start() <= start and end <= said.end() for words in self._all for said in words.all(text))

    @cached_property
    def _all(self) -> list[Words]:
        return [Words(one) for one in (self, *(_unknowns[need] for need in self.needs))]


class Collection(Phrases, dict=True):
    """A bag, or what is collected, of which something is asked: the item that answers, or lines of our own by aspect."""

    item: str = ""
    own: str = ""
    answers: dict[str, dict[str, str]] = field(default_factory=dict)

    @cached_property
    def words(self) -> Words:
        return Words(self)


class Polar(Struct, forbid_unknown_fields=True, dict=True):
    """A way to ask about an aspect, or any way, and which of an item's lines tell that it is done, and which that it is not."""

    aspect: str
    asked: list[str]
    yes: list[str]
    no: list[str]

    @property
    def of_any(self) -> bool:
        return not self.asked

    @cached_property
    def _words(self) -> tuple[Words, Words, Words]:
        asked, yes, no = (Words(Phrases(ko=each)) for each in (self.asked, self.yes, self.no))
        return asked, yes, no

    def says(self, text: str, line: str) -> bool | None:
        """Whether the line says yes to the text; None where this is not what the text asks, or the line says neither."""
        asked, done, left = self._words
        if self.of_any:
            line = line.partition(". ")[0]
        elif not asked.within(text):
            return None
        yes, no = done.within(line), left.within(line)
        if self.of_any and yes and no:
            # "플라스틱 뚜껑은 함께, 금속 뚜껑은 떼어": it depends.
            return None
        return True if yes else False if no else None


LISTS = ("grammar", "topics", "roles", "ways")
GRAMMAR, TOPICS, ROLES, WAYS = map(Lists, LISTS)
WORD_ENDS = rf"(?=(?:{GRAMMAR.particles.source})?(?![가-힣]))"
"""In a pattern: a Korean word ends here, or has a particle at most behind it."""
KINLESS = frozenset(ROLES.kinless.phrases)
_parts = read("parts", dict[str, Part])
PARTS = {name: Words(part) for name, part in _parts.items()}
PART_WORDS = {name: words.phrases for name, words in PARTS.items()}
ASPECT_OF_PART = {name: part.aspect for name, part in _parts.items()}
KINDS = {name: (Words(kind), kind.name) for name, kind in read("kinds", dict[str, Kind]).items()}
# Letters alone (ㄱㄴ) are other characters once a text is plain.
SPELLINGS = {unicodedata.normalize("NFKC", wrong): right for wrong, right in read("spellings", dict[str, str]).items()}
_aspects = read("aspects", dict[str, Aspect])
ASPECTS = {name: Words(aspect) for name, aspect in _aspects.items()}
WHERE = frozenset({"recycle", "bag", "food"})
"""Aspects that ask where a thing goes."""
DOWN = frozenset({"toilet", "drain"})
"""Aspects that ask what it is poured down."""
LINES_OF = {name: aspect.lines for name, aspect in _aspects.items()}
CASES = {name: Words(words) for name, words in read("cases", dict[str, Phrases]).items()}
BINS = {name: Words(words) for name, words in read("bins", dict[str, Phrases]).items()}
SITUATIONS = named("situations", Situation)
_unknowns = {one.name: one for one in named("unknowns", Unknown)}
UNKNOWNS = [one for one in _unknowns.values() if not one.helper]
COLLECTIONS = [*read("collections", dict[str, Collection]).values()]
POLARS = [*read("polar", dict[str, Polar]).values()]
MATERIALS = read("materials", dict[str, Material])
MATERIAL_WORDS = {name: Words(words) for name, words in MATERIALS.items()}
TEXTS = read("lines", dict[str, dict[str, str]])

MISSPELT = re.compile(either(list(SPELLINGS)))
SPELT = {wrong.removeprefix("^").replace(" ", ""): right for wrong, right in SPELLINGS.items()}
KOREAN_OF = read("mixed", dict[str, str])
MIXED = re.compile(rf"(?<=[가-힣])(\s?){either(list(KOREAN_OF))}")
