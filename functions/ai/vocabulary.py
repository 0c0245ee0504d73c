"""The words of both languages that questions are read by: the files in `words/`, read once. `checker.py` checks them."""

import re
import unicodedata

from msgspec import Struct

from functions.ai.phrases import Phrases, Words, either, lists, read


class Grammar(Struct, frozen=True):
    """Small words; see `words/grammar.toml`."""

    particles: Words
    joins: Words
    with_it: Words
    belongs: Words
    states: Words
    openers: Words
    leads: Words
    refers: Words
    counts: Words
    measures: Words
    pieces: Words
    no_names: Words
    filler: Words
    every: Words
    done: Words
    again: Words
    likewise: Words
    barred: Words
    omitted: Words
    negated: Words
    both: Words
    repeat: Words
    in_english: Words
    in_korean: Words


class Topics(Struct, frozen=True):
    """What a question is about; see `words/topics.toml`."""

    disposal: Words
    complete: Words
    state: Words
    handling: Words
    as_bin: Words
    collections: Words
    bin_tail: Words
    asks: Words
    other_world: Words
    elsewhere: Words
    money: Words
    near: Words
    together: Words
    apart: Words
    not_taken: Words
    which_things: Words
    place: Words
    specialists: Words
    orders: Words
    why: Words
    reason: Words
    may: Words
    isnt: Words
    beside_photo: Words
    asks_where: Words
    still_on: Words
    polar: Words
    open: Words
    wonders: Words
    asks_whom: Words
    figurative: Words
    lacking: Words
    greetings: Words
    described: Words
    told: Words
    qualities: Words
    goes_on: Words
    at_hand: Words
    overfull: Words
    ways: Words
    subject: Words
    amount: Words
    owned: Words


class Roles(Struct, frozen=True):
    """What a named thing is to a question; see `words/roles.toml`."""

    where: Words
    bin: Words
    fixtures: Words
    put_in: Words
    degree: Words
    dirt: Words
    wrapped: Words
    together: Words
    delivered: Words
    origin: Words
    not_that: Words
    within: Words
    taken_out: Words
    on_the_way: Words
    owners: Words
    packings: Words
    stuff: Words
    after_use: Words
    before_use: Words
    holders: Words
    kinless: Words
    genus: Words
    into: Words
    bin_ends: Words
    made: Words
    rest_in: Words
    belonging: Words
    of_plants: Words
    matter: Words
    stored: Words


class Ways(Struct, frozen=True):
    """Which way a question asks; see `words/ways.toml`."""

    leave: Words
    must: Words
    may: Words
    bad: Words
    negation: Words
    deed: Words
    kept: Words


class Part(Struct, forbid_unknown_fields=True):
    ko: list[str]
    en: list[str]
    aspect: str = ""


class Kind(Struct, forbid_unknown_fields=True):
    name: str
    ko: list[str]
    en: list[str]


class Aspect(Struct, forbid_unknown_fields=True):
    lines: list[str]
    ko: list[str]
    en: list[str]
    unless: list[str] = []


class SituationWords(Struct, forbid_unknown_fields=True):
    item: str
    all: list[list[str]]
    ko: str
    en: str
    unless: list[str] = []
    instead: bool = False
    always: bool = False


class UnknownWords(Struct, forbid_unknown_fields=True):
    ko: list[str]
    en: list[str]
    item: bool = False
    needs: list[str] = []
    unless: list[str] = []
    what_ko: str = ""
    what_en: str = ""
    text: str = "unknown"
    helper: bool = False


class PolarWords(Struct, forbid_unknown_fields=True):
    aspect: str
    asked: list[str]
    yes: list[str]
    no: list[str]


class Material(Struct, forbid_unknown_fields=True):
    is_ko: str
    is_en: str
    ko: list[str]
    en: list[str]


class CollectionWords(Struct, forbid_unknown_fields=True):
    ko: list[str]
    en: list[str]
    unless: list[str] = []
    item: str = ""
    own: str = ""
    answers: dict[str, dict[str, str]] = {}


class Situation:
    """A danger: when it is there, what is to be done first, and the item whose rules follow."""

    def __init__(self, name: str, words: SituationWords) -> None:
        self.name = name
        self.item = words.item
        self.instead = words.instead
        self.always = words.always
        self._lines = {"ko": words.ko, "en": words.en}
        self._all = [Words(Phrases(ko=phrases)) for phrases in words.all]
        self._unless = Words(Phrases(ko=words.unless))

    def line(self, language: str) -> str:
        return self._lines[language]

    def there(self, text: str) -> bool:
        return all(words.within(text) for words in self._all) and not self._unless.within(text)


class Unknown:
    """Something that the items can't say: each municipality decides it."""

    def __init__(self, name: str, words: UnknownWords, others: dict[str, UnknownWords]) -> None:
        self.name, self.text = name, words.text
        self.about_item = words.item
        self._what = {"ko": words.what_ko, "en": words.what_en}
        needed = [words, *(others[need] for need in words.needs)]
        self._all = [Words(Phrases(one.ko, one.en, one.unless)) for one in needed]

    def what(self, language: str) -> str:
        return self._what[language]

    def there(self, text: str) -> bool:
        return all(words.within(text) for words in self._all)

    def holds(self, start: int, end: int, text: str) -> bool:
        """Whether a place in the text belongs to what is not known: a phone number is no phone."""
        return any(said.start() <= start and end <= said.end() for words in self._all for said in words.all(text))


class Collection:
    """A bag, or what is collected, of which something is asked: the item that answers, or lines of our own by aspect."""

    def __init__(self, words: CollectionWords) -> None:
        self.item = words.item
        self.own = words.own
        self.answers = words.answers
        self.words = Words(Phrases(words.ko, words.en, unless=words.unless))


class Polar:
    """A way to ask about an aspect, or any way, and which of an item's lines tell that it is done, and which that it is not."""

    def __init__(self, words: PolarWords) -> None:
        self.aspect = words.aspect
        self.of_any = not words.asked
        self._asked = Words(Phrases(ko=words.asked))
        self._yes, self._no = (Words(Phrases(ko=each)) for each in (words.yes, words.no))

    def says(self, text: str, line: str) -> bool | None:
        """Whether the line says yes to the text; None where this is not what the text asks, or the line says neither."""
        if self.of_any:
            line = line.partition(". ")[0]
        elif not self._asked.within(text):
            return None
        yes, no = self._yes.within(line), self._no.within(line)
        if self.of_any and yes and no:
            # "플라스틱 뚜껑은 함께, 금속 뚜껑은 떼어": it depends.
            return None
        return True if yes else False if no else None


_kinless = read("roles", dict[str, Phrases])["kinless"]
_aspects = read("aspects", dict[str, Aspect])
_unknowns = read("unknowns", dict[str, UnknownWords])

GRAMMAR = lists("grammar", Grammar)
TOPICS = lists("topics", Topics)
ROLES = lists("roles", Roles)
WAYS = lists("ways", Ways)
KINLESS = {*_kinless.ko, *_kinless.en}
_parts = read("parts", dict[str, Part])
PARTS = {name: Words(Phrases(part.ko, part.en)) for name, part in _parts.items()}
PART_WORDS = {name: [*part.ko, *part.en] for name, part in _parts.items()}
ASPECT_OF_PART = {name: part.aspect for name, part in _parts.items()}
KINDS = {name: (Words(Phrases(kind.ko, kind.en)), kind.name) for name, kind in read("kinds", dict[str, Kind]).items()}
# Letters alone (ㄱㄴ) are other characters once a text is plain.
SPELLINGS = {unicodedata.normalize("NFKC", wrong): right for wrong, right in read("spellings", dict[str, str]).items()}
ASPECTS = {name: Words(Phrases(aspect.ko, aspect.en, aspect.unless)) for name, aspect in _aspects.items()}
WHERE = frozenset({"recycle", "bag", "food"})
"""Aspects that ask where a thing goes."""
DOWN = frozenset({"toilet", "drain"})
"""Aspects that ask what it is poured down."""
LINES_OF = {name: aspect.lines for name, aspect in _aspects.items()}
CASES = {name: Words(words) for name, words in read("cases", dict[str, Phrases]).items()}
BINS = {name: Words(words) for name, words in read("bins", dict[str, Phrases]).items()}
SITUATIONS = [Situation(name, words) for name, words in read("situations", dict[str, SituationWords]).items()]
UNKNOWNS = [Unknown(name, words, _unknowns) for name, words in _unknowns.items() if not words.helper]
COLLECTIONS = [Collection(words) for words in read("collections", dict[str, CollectionWords]).values()]
POLARS = [Polar(words) for words in read("polar", dict[str, PolarWords]).values()]
MATERIALS = read("materials", dict[str, Material])
MATERIAL_WORDS = {name: Words(Phrases(words.ko, words.en)) for name, words in MATERIALS.items()}
TEXTS = read("lines", dict[str, dict[str, str]])

MISSPELT = re.compile(either(list(SPELLINGS)))
SPELT = {wrong.replace(" ", ""): right for wrong, right in SPELLINGS.items()}
KOREAN_OF = read("mixed", dict[str, str])
MIXED = re.compile(rf"(?<=[가-힣])(\s?){either(list(KOREAN_OF))}")
