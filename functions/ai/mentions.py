"""Names of items in a text, and what each thing named is to the question."""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from itertools import pairwise

from msgspec import Struct

from functions.ai import facts as reading
from functions.ai.facts import plain
from functions.ai.retrieval import Item
from functions.ai.sounds import folded
from functions.ai.vocabulary import ASPECTS, CASES, GRAMMAR, PART_WORDS, PARTS, ROLES, TOPICS

_HANGUL = re.compile(r"[가-힣]")
_PARTICLE = re.compile(GRAMMAR.particles.source)
_MEASURED = re.compile(rf"(?:{GRAMMAR.counts.source}|\d)\s*$")
_NO_NAME = re.compile(GRAMMAR.no_names.source)


# "내놓는 게 맞아요": a noun that is nothing without the verb before it, and no crab.
_BOUND = {"게", "거", "데", "지", "곳", "수"}
_ADNOMINAL = re.compile(rf"{reading.ending_in(4)}\s$|{reading.ending_in(8)}\s$")


class Mention(Struct, frozen=True):
    """An item named in a text, and where: offsets into the plain text."""

    item: Item
    start: int
    end: int


def mentions(text: str, items: Iterable[Item]) -> list[Mention]:
    """The items whose names are in the (plain) text, longest names first served, in the order of the text."""
    letters = _Letters(text)
    found = [Mention(item, *span) for item in items for name in item.names() for span in letters.find(plain(name))]
    # A name with which a word begins comes before one inside of a word (아이스박스 before 박스 테이프), a longer one says more
    # ("페트병 뚜껑" before "페트병"); among equals the search's order holds (sort is stable).
    found.sort(key=lambda mention: (not letters.begin(mention.start), mention.start - mention.end))
    taken: list[Mention] = []
    for mention in found:
        free = all(mention.end <= other.start or mention.start >= other.end for other in taken)
        if free and all(mention.item.id != other.item.id for other in taken):
            taken.append(mention)
    return sorted(taken, key=lambda mention: mention.start)


# Syllables of a name that is found by its sound.
_SOUNDED = 3


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
        if not name:
            return
        exactly = list(self._spans(name, self.squeezed))
        # A short name sounds like many a word: 병 and 뼝, 개 and 게.
        sounds = len(name) >= _SOUNDED and not name.isascii() and not exactly
        yield from self._spans(_sounding(name), self.sounding) if sounds else exactly

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
        bound = self.text[start:end] in _BOUND and _ADNOMINAL.search(self.text[:start])
        return bool(
            bound
            or (other and other.end() >= end)
            or re.search(r"[,/·;]", self.text[start:end])
            or (GRAMMAR.measures.is_all(self.text[start:end]) and _MEASURED.search(self.text[:start]))
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
        if self.begins[start] or len(name) >= 4:
            return True
        # "갈릭소스 통은": the last word says what it is.
        return bool(_HELD.search(name)) and (not rest or _PARTICLE.fullmatch(rest) is not None)


# What a thing is in, at the end of its name.
_HELD = re.compile(rf"(?:{ROLES.holders.source})$")


# What follows a thing that is not the one thrown away: dirt on it, what it is wrapped in, what it came with.
_DIRT = re.compile(rf"[이가을도만]?\s*(?:물[이가]?\s*)?(?:{ROLES.degree.source}\s*)?{ROLES.dirt.source}")
_TOOL = re.compile(rf"(?:으로|로|에)\s*(?:잘\s*)?{ROLES.wrapped.source}")
# "비닐봉지째", "철사 부분": what it is in, and a part of it.
_WHOLE = re.compile(r"째|\s?부분")
_WITH = re.compile(rf"{ROLES.together.source}(?![가-힣])")
_WITH_A = re.compile(rf"{ROLES.together.source}\s*$")
_ORIGIN = re.compile(rf"\s*{ROLES.origin.source}")
_NOT_THAT = re.compile(rf"{ROLES.not_that.source}(?![가-힣])")
_OWNED = re.compile(rf"(?:의\s|\s|'s\s)(?:{GRAMMAR.states.source}\s)?")
_AND = re.compile(rf"\s*{GRAMMAR.joins.source}(?:\s*(?:,|a|an|the|and|그리고|{GRAMMAR.with_it.source}))*\s*")
_OF = re.compile(rf"\s*(?:{GRAMMAR.belongs.source})?\s*")
_PART_OF = re.compile(r"s?\s*(?:of|from|on)\s*(?:a|an|the|my)?\s*")


def things(named: Sequence[Mention], text: str, *, follows: bool = False) -> list[Mention]:
    """The mentions that are to be thrown away: "빨대는 플라스틱인가요?" is about the straw, "피자박스 기름 묻었으면" the box.

    The others stay when nothing else is named, or when a list names them ("페트병, 캔, 종이컵"). With `follows`, something
    was said before that the text may be about: then dirt and wrappings are not what it is about, even alone.
    """
    dropped = beside(named, text, follows=follows)
    if all(is_part(text[one.start : one.end]) for one in named if one not in dropped):
        # "송장 안 떼고 박스째": the part goes with the whole.
        dropped = [one for one in dropped if not _WHOLE.match(text, one.end)]
    if len(dropped) < len(named) or follows:
        named = [one for one in named if one not in dropped]
    # "콜라 페트병": what was in it says which bottle.
    contents = [
        one
        for one, other in pairs(named)
        if text[one.end : other.start] == " "
        and one.item.category == "food" != other.item.category
        and not ROLES.where.is_all(text[other.start : other.end])
    ]
    # "샴푸 리필 파우치": what is in it says which one.
    contents += [
        one
        for one, other in pairs(named)
        if text[one.end : other.start] == " "
        and _HELD.search(text[other.start : other.end])
        and other.end - other.start > _SOUNDED
        and not is_part(text[other.start : other.end])
        and not _MADE_OF.match(text, other.start)
        and not _HELD.search(text[one.start : one.end])
        and one not in contents
    ]
    # "이 봉투 보냉백인데": what it is said to be.
    contents += [
        one
        for one, other in pairs(named)
        if text[one.end : other.start] == " "
        and _IS.match(text, other.end)
        and not ROLES.where.is_all(text[other.start : other.end])
        and one not in contents
    ]
    # "선크림 튜브" is no 튜브 to swim with.
    contents += [
        other
        for one, other in pairs(named)
        if text[one.end : other.start] == " "
        and ROLES.holders.is_all(text[other.start : other.end])
        and one not in contents
        and any(ROLES.holders.within(name[-2:]) for name in one.item.names())
    ]
    owners = [
        one
        for one, other in pairs(named)
        if (ROLES.owners.is_all(text[one.start : one.end]) or _holds(one, other, text))
        and _OWNED.fullmatch(text[one.end : other.start])
        and not ROLES.where.is_all(text[other.start : other.end])
        and not is_part(text[other.start : other.end])
    ]
    if len(named) > 1 and CASES["mixed"].within(text[named[-1].end :]):
        # "옷걸이 철사랑 플라스틱 섞인 거": what the first is made of.
        named = named[:1]
    clauses = [
        one
        for one, other in pairs(named)
        if _CLAUSE.fullmatch(text[one.end : other.start])
        and not ROLES.where.is_all(text[other.start : other.end])
        and not is_part(text[other.start : other.end])
    ]
    kept = [
        one
        for one in named
        if not ROLES.where.is_all(text[one.start : one.end])
        and not _NOT_THAT.match(text, one.end)
        and not (
            _ORIGIN.match(text, one.end) and one is not named[-1] and not is_part(text[named[-1].start : named[-1].end])
        )
        and one not in contents
        and one not in clauses
        and one not in owners
    ]
    if not kept:
        # "캔을 쓰레기통에": of materials and bins alone, the bin is not the thing.
        return [one for one in named if not ROLES.bin.is_all(text[one.start : one.end])] or list(named)
    listed = [run for run in _runs(named, text) if len(run) > 1 and any(one in kept for one in run)]
    more = {one.start for run in listed for one in run if not ROLES.bin.is_all(text[one.start : one.end])}
    return [mention for mention in named if mention in kept or mention.start in more]


_IS = re.compile(r"(?:이?인데|이?거든|이라서|라서|이?니까|이에요|예요)")
_MADE_OF = re.compile(ROLES.stuff.source)


def _runs(named: Sequence[Mention], text: str) -> list[list[Mention]]:
    """The mentions, those together that a list joins: "페트병, 캔, 종이컵"."""
    runs: list[list[Mention]] = []
    for one in named:
        if runs and _AND.fullmatch(text[runs[-1][-1].end : one.start]):
            runs[-1].append(one)
        else:
            runs.append([one])
    return runs


# "피자 시키면 오는 (갈릭소스 통)": a clause about the thing that follows.
_VERBAL = rf"(?!{ROLES.holders.source}[은는]\s)[가-힣]*(?!면){reading.ending_in(4)}\s"
_CLAUSE = re.compile(rf"(?:[이가을를에]|에서)?\s(?:[가-힣]+\s){{0,3}}{_VERBAL}[가-힣]*")
_HOLDER = re.compile(
    rf"[이가을를도]?\s(?:[가-힣]+\s){{0,3}}?{_VERBAL}(?:[가-힣]+{reading.ending_in(4)}\s)?"
    rf"(?:{ROLES.stuff.source}\s?)?(?P<holder>{ROLES.holders.source})(?=(?:{GRAMMAR.particles.source})?(?![가-힣]))"
)


_HOLDER_NEXT = re.compile(rf"\s?(?P<holder>{ROLES.holders.source})(?=(?:{GRAMMAR.particles.source})?(?![가-힣]))")


def joined(named: Sequence[Mention], word: str, text: str) -> bool:
    """Whether a list joins a thing and the word after it: "용기랑 뚜껑"."""
    matches = (_AND.match(text, one.end) for one in named)
    return any(match is not None and text.startswith(word, match.end()) for match in matches)


def listed(named: Sequence[Mention], text: str) -> bool:
    """Whether a list goes on after a thing, with whatever: "옥수수 껍질이랑 수염"."""
    return any(_AND.match(text, one.end) for one in named)


def held(one: Mention, text: str) -> tuple[str, int] | None:
    """What a thing was in, where a clause is between the two: "두부 담겼던 네모난 통" is the 두부 통, up to an offset."""
    found = _HOLDER.match(text, one.end) or _HOLDER_NEXT.match(text, one.end)
    return (f"{text[one.start : one.end]} {found['holder']}", found.end()) if found else None


def _holds(one: Mention, other: Mention, text: str) -> bool:
    """Whether a thing is a packing that another came in: "치킨박스 기름종이"."""
    words = text[one.start : one.end], text[other.start : other.end]
    return ROLES.packings.within(words[0][-2:]) and not ROLES.holders.within(words[1][-2:])


def beside(named: Sequence[Mention], text: str, *, follows: bool = False) -> list[Mention]:
    """The mentions of what another thing is with, dirty of, or wrapped in."""
    return [one for one in named if _beside(one, text, follows=follows)]


def _beside(one: Mention, text: str, *, follows: bool) -> bool:
    """Whether it is what another thing is with, dirty of, or wrapped in."""
    return bool(
        (text[: one.start].isascii() and _WITH_A.search(text, 0, one.start))
        or _DIRT.match(text, one.end)
        or _TOOL.match(text, one.end)
        or _WHOLE.match(text, one.end)
        or (ROLES.stuff.is_all(text[one.start : one.end]) and _PART_NEXT.match(text, one.end))
        or (follows and ROLES.where.is_all(text[one.start : one.end]) and _WITH.match(text, one.end))
    )


def pairs(named: Sequence[Mention]) -> list[tuple[Mention, Mention]]:
    return list(pairwise(named))


def wholes(named: Sequence[Mention], text: str) -> list[Mention]:
    """The things without their parts: "상표가 안 벗겨지는 생수병" is a bottle, "뚜껑이랑 라벨" are two parts of something."""
    joined = {one.start for both in pairs(named) if _AND.fullmatch(text[both[0].end : both[1].start]) for one in both}
    kept = [one for one in named if one.start in joined or not is_part(text[one.start : one.end])]
    return kept or list(named)


def without(text: str, named: Sequence[Mention]) -> str:
    """The text with blanks in place of the things' names."""
    for one in named:
        text = text[: one.start] + " " * (one.end - one.start) + text[one.end :]
    return text


def only_bins(named: Sequence[Mention], text: str) -> bool:
    """Whether all that is named is what something is thrown into: the thing itself has no name of ours."""
    return bool(named) and all(ROLES.bin.is_all(text[one.start : one.end]) for one in named)


def part(text: str, outside: Sequence[Mention] = (), bins: Sequence[tuple[int, int]] = ()) -> tuple[str, str] | None:
    """The part that a text asks about and the word for it; words inside of mentions are names, and bins are no parts."""
    taken = [*((one.start, one.end) for one in outside), *bins]
    for kind, pattern in _PART_WORDS.items():
        for match in pattern.finditer(text):
            if all(match.end() <= start or match.start() >= end for start, end in taken):
                return kind, match["word"]
    return None


def _part_pattern(words: Sequence[str]) -> re.Pattern[str]:
    """Any of the words with particles at most: "뚜껑은", and neither "뚜껑으로" nor "심지"."""
    korean = "|".join(re.escape(word) for word in words if not word.isascii())
    english = "|".join(re.escape(word) for word in words if word.isascii())
    tail = rf"(?!으?로(?![가-힣]))(?=(?:{GRAMMAR.particles.source})?(?![가-힣]))"
    return re.compile(rf"(?P<word>(?:{korean}){tail}|(?<![a-z])(?:{english})(?![a-z]))")


_PART_WORDS = {kind: _part_pattern(words) for kind, words in PART_WORDS.items()}
_ANY_PART = "|".join(words.source for words in PARTS.values())
# "플라스틱 손잡이": what a part is made of.
_PART_NEXT = re.compile(rf"\s?(?:{_ANY_PART})")
_IS_PART = re.compile(rf"(?:{ROLES.stuff.source}\s?)?(?:{_ANY_PART})(?:\s?(?:{_ANY_PART}))?")


def part_and_whole(named: Sequence[Mention], text: str) -> tuple[Mention, Mention] | None:
    """Two neighbouring mentions of which one is a part of the other: (part, whole)."""
    for one, other in pairs(named):
        between = text[one.end : other.start]
        if is_part(text[other.start : other.end]) and _OF.fullmatch(between):
            return other, one
        if is_part(text[one.start : one.end]) and _PART_OF.fullmatch(between):
            return one, other
    return None


def is_part(text: str) -> bool:
    """Whether a text is nothing but a word for a part."""
    return _IS_PART.fullmatch(text) is not None


def speaks_of(line: str, kind: str) -> bool:
    """Whether a rule's line is about that part."""
    return PARTS[kind].within(plain(line))


_END = re.compile(
    rf"(?:{GRAMMAR.particles.source})?(?:\s(?:{GRAMMAR.counts.source}|\d+)\s?{GRAMMAR.measures.source})?[\s?!.~ㅠㅜㅎㅋ]*"
)
_PART_AT_END = re.compile(rf"(?:{_ANY_PART}){_END.pattern}$")


def without_parts(named: Sequence[Mention], text: str) -> list[Mention]:
    """The things' names without a word for a part at their end ("생수병 뚜껑 닫아?" asks about a cap), and no bins or toilets.

    A part in a list is a thing of its own: "소주병이랑 병뚜껑".
    """
    things = [one for one in named if not ROLES.where.is_all(text[one.start : one.end])]
    ends = [(one, _PART_AT_END.search(text[: one.end], one.start)) for one in things]
    listed = len(things) > 1
    return [
        Mention(
            one.item, one.start, one.end if part is None or (listed and part.start() == one.start) else part.start()
        )
        for one, part in ends
    ]


def only_names(named: Sequence[Mention], text: str) -> bool:
    """Whether a text only names what to be rid of: a list of things, or Korean that ends with a thing or a part of it.

    English questions about anything end with a name ("how do I boil eggs").
    """
    if any(_AND.fullmatch(text[one.end : other.start]) for one, other in pairs(named)):
        return True
    ends = bool(named) and (_END.fullmatch(text, named[-1].end) or _PART_AT_END.search(text, named[-1].end))
    return bool(ends) and bool(_HANGUL.search(text))


_STRAY = 1
_STRAY_EN = 3


def plainly_about(text: str, named: Sequence[Mention]) -> bool:
    """Whether hardly a letter of a text is neither a thing's name nor what a question about throwing it away may hold."""
    line = without(text, named)
    for expected in (*PARTS.values(), TOPICS.disposal, TOPICS.near, ROLES.where, GRAMMAR.filler):
        line = expected.without(line)
    stray = _STRAY if _HANGUL.search(text) else _STRAY_EN
    return sum(letter.isalnum() for letter in line) <= stray


def name_alone(text: str) -> str:
    """What is left of a question without the words for throwing away, for bins and for what is asked: a name, with luck."""
    line = text
    for asked in (TOPICS.disposal, TOPICS.near, TOPICS.state, ROLES.bin, *ASPECTS.values(), TOPICS.open, TOPICS.polar):
        # What is left of a word that begins with one is its ending.
        line = re.sub(r"\0[가-힣]*", " ", asked.without(line, "\0"))
    words = (_ENDING.sub("", word) for word in re.findall(r"[^\W\d_]+", line))
    return " ".join(word for word in words if word and not GRAMMAR.filler.is_all(word))


_ENDING = re.compile(rf"(?<=[가-힣]{{2}})(?:{GRAMMAR.particles.source})$")
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
