"""The rest of a text: what it holds beside the names of things, and what may be a name in it beside all that is asked."""

import re
from collections.abc import Sequence

from functions.ai import lists, parts
from functions.ai.mentions import Mention
from functions.ai.vocabulary import ASPECTS, GRAMMAR, PARTS, ROLES, TOPICS

_HANGUL = re.compile(r"[가-힣]")


def without(text: str, named: Sequence[Mention]) -> str:
    """The text with blanks in place of the things' names."""
    for one in named:
        text = text[: one.start] + " " * (one.end - one.start) + text[one.end :]
    return text


def only_names(named: Sequence[Mention], text: str) -> bool:
    """Whether a text only names what to be rid of: a list of things, or Korean that ends with a thing or a part of it.

    English questions about anything end with a name ("how do I boil eggs").
    """
    if any(lists.AND.fullmatch(text[one.end : other.start]) for one, other in lists.pairs(named)):
        return True
    ends = bool(named) and (parts.END.fullmatch(text, named[-1].end) or parts.AT_END.search(text, named[-1].end))
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
    # "굴찜 먹고 껍데기 한 대야"
    line = _MEASURE.sub(" ", text)
    for asked in (TOPICS.disposal, TOPICS.near, TOPICS.state, ROLES.bin, *ASPECTS.values(), TOPICS.open, TOPICS.polar):
        # What is left of a word that begins with one is its ending.
        line = re.sub(r"\0[가-힣]*", " ", asked.without(line, "\0"))
    words = (_ENDING.sub("", word) for word in re.findall(r"[^\W\d_]+", line))
    return " ".join(word for word in words if word and not GRAMMAR.filler.is_all(word))


_ENDING = re.compile(rf"(?<=[가-힣]{{2}})(?:{GRAMMAR.particles.source})$")
_MEASURE = re.compile(rf"(?<![가-힣])(?:{GRAMMAR.counts.source}|\d+)\s{GRAMMAR.measures.source}(?![가-힣])")
