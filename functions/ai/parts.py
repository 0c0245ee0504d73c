"""Parts of things in a text, and the things without them."""

import re
from collections.abc import Sequence

from functions.ai import bins, lists
from functions.ai.facts import plain
from functions.ai.mentions import Mention
from functions.ai.vocabulary import GRAMMAR, PART_WORDS, PARTS, ROLES, WORD_ENDS


def part(text: str, outside: Sequence[Mention] = (), spans: Sequence[tuple[int, int]] = ()) -> tuple[str, str] | None:
    """The part that a text asks about and the word for it; words inside of mentions or spans (of bins, say) are none."""
    taken = [*((one.start, one.end) for one in outside), *spans, *(one.span() for one in GRAMMAR.no_names.all(text))]
    for kind, pattern in _PART_WORDS.items():
        for match in pattern.finditer(text):
            # "텀블러 뚜껑 고무패킹": the packing is what is asked about.
            if not _THEN.match(text, match.end()) and all(
                match.end() <= start or match.start() >= end for start, end in taken
            ):
                return kind, match["word"]
    return None


def _part_pattern(words: Sequence[str]) -> re.Pattern[str]:
    """Any of the words with particles at most: "뚜껑은", and neither "뚜껑으로" nor "심지"."""
    korean = "|".join(re.escape(word) for word in words if not word.isascii())
    english = "|".join(re.escape(word) for word in words if word.isascii())
    tail = rf"(?!으?로(?![가-힣])){WORD_ENDS}"
    return re.compile(rf"(?P<word>(?:{korean}){tail}|(?<![a-z])(?:{english})(?![a-z]))")


_THEN = re.compile(rf" {ROLES.belonging.source}{WORD_ENDS}")
_PART_WORDS = {kind: _part_pattern(words) for kind, words in PART_WORDS.items()}
_ANY_PART = "|".join(words.source for words in PARTS.values())
# "플라스틱 손잡이": what a part is made of.
PART_NEXT = re.compile(rf"\s?(?:{_ANY_PART})")
_IS_PART = re.compile(rf"(?:{ROLES.stuff.source}\s?)?(?:{_ANY_PART})(?:\s?(?:{_ANY_PART}))?")


def is_part(text: str) -> bool:
    """Whether a text is nothing but a word for a part."""
    return _IS_PART.fullmatch(text) is not None


def speaks_of(line: str, kind: str) -> bool:
    """Whether a rule's line is about that part."""
    return PARTS[kind].within(plain(line))


def part_and_whole(named: Sequence[Mention], text: str) -> tuple[Mention, Mention] | None:
    """Two neighbouring mentions of which one is a part of the other: (part, whole)."""
    for one, other in lists.pairs(named):
        between = text[one.end : other.start]
        if is_part(other.words(text)) and _OF.fullmatch(between):
            return other, one
    return None


_OF = re.compile(rf"\s*(?:{GRAMMAR.belongs.source})?\s*")


def wholes(named: Sequence[Mention], text: str) -> list[Mention]:
    """The things without their parts: "상표가 안 벗겨지는 생수병" is a bottle, "뚜껑이랑 라벨" are two parts of something."""
    joined = {
        one.start
        for both in lists.pairs(named)
        if lists.AND.fullmatch(text[both[0].end : both[1].start])
        for one in both
    }
    kept = [one for one in named if one.start in joined or not is_part(one.words(text))]
    if all(bins.is_where(one, text) for one in kept):
        # "국물 변기에 버려도 돼?"
        return [one for one in named if one not in kept] or list(named)
    return kept


def without_parts(named: Sequence[Mention], text: str) -> list[Mention]:
    """The things' names without a word for a part at their end ("생수병 뚜껑 닫아?" asks about a cap), and no bins or toilets.

    A part in a list is a thing of its own: "소주병이랑 병뚜껑".
    """
    things = [one for one in named if not bins.is_where(one, text)]
    ends = [(one, AT_END.search(text[: one.end], one.start)) for one in things]
    return [Mention(one.item, one.start, part.start() if part else one.end) for one, part in ends]


END = re.compile(
    rf"(?:\s?{GRAMMAR.pieces.source})?(?:{GRAMMAR.particles.source})?(?:\s(?:{GRAMMAR.counts.source}|\d+)\s?{GRAMMAR.measures.source})?[\s?!.~ㅠㅜㅎㅋ]*"
)
AT_END = re.compile(rf"(?:{_ANY_PART}){END.pattern}$")
