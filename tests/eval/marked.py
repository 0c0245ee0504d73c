"""The marked lines from which the judges of functions/ai are trained: `marked.tsv`, as its first lines say."""

import re
from functools import lru_cache
from pathlib import Path

from msgspec import Struct

from functions.ai.facts import plain

FILE = Path(__file__).with_name("marked.tsv")
SAID = " // "

Span = tuple[int, int]
_NAMES = re.compile(r"\[([^\]]+)\]|\{([^}]+)\}")


class Line(Struct, frozen=True):
    """What somebody types, and what is to be heard in it; nothing is known of what is asked where `aspect` is empty."""

    text: str
    names: tuple[tuple[Span, bool], ...]
    """Where each name is, and whether it is only told of."""
    follows: bool
    aspect: str = ""
    form: str = ""
    state: str = ""


@lru_cache(maxsize=1)
def lines() -> tuple[Line, ...]:
    written = FILE.read_text(encoding="utf-8").splitlines()
    return tuple(line(one) for one in written if one and not one.startswith("#"))


def line(written: str) -> Line:
    """What a line says.

    Raises:
        ValueError: it holds a bracket too many.
    """
    said, *marks = written.split("\t")
    *before, last = plain(said).split(SAID)
    text, names, done = "", list[tuple[Span, bool]](), 0
    for match in _NAMES.finditer(last):
        text += last[done : match.start()]
        name = match[1] or match[2]
        names.append(((len(text), len(text) + len(name)), match[2] is not None))
        text, done = text + name, match.end()
    text += last[done:]
    if re.search(r"[\[\]{}]", text):
        raise ValueError(f"{FILE.name}: each name is in [ ] or {{ }}: {written}")
    return Line(text, tuple(names), bool(before), *marks)
