"""What is asked about a thing, judged by the letters around its name: a classifier beside the words (`words/aspects.toml`).

"다 씻어놨는데 어디에" holds a word of rinsing and asks for a bin, "물로 한번 지나가야 하나" asks for rinsing and holds
none. `aspects.json` says what runs of one to three letters, how a text begins and ends, and what the words hear in it speak for,
a letter for each kind of question; `python -m tests.eval.aspects` trains it. A thing that is asked about is written □ in the
text, and one only told of △.
"""

import math
import re
from collections.abc import Collection, Sequence
from functools import lru_cache
from pathlib import Path

import msgspec
from msgspec import Struct

from functions.ai import bins, parts
from functions.ai import facts as reading
from functions.ai.facts import Facts
from functions.ai.vocabulary import ASPECTS, DOWN, ROLES, WHERE

FILE = Path(__file__).with_name("aspects.json")
LONGEST_RUN = 3
ZERO = 79
"""The code of the letter that says nothing; the next one says LEVEL more."""
LEVEL = 0.25
# Kinds of words heard, counted up to so many.
_MANY = 3

# "설거지하던 고무장갑": what it was used for.
_USED_TO = re.compile(r"[가-힣]+던\s(?=[□△])")
_BETWEEN = re.compile(r"[^\w□△?]+")
# How likely a kind of question must be to be asked though no word says so, and below what a word is only told.
_SURE = 0.35
_TOLD = 0.05
# Whoever says these words asks that: where it goes, and how kinds are told apart; and what is poured down there is asked of it.
_SAID = {*WHERE, "tell"}

Name = tuple[int, int, bool]
"""Where a name is in a text, from, to, and whether it is only told of."""


class AspectsFile(Struct, frozen=True, forbid_unknown_fields=True):
    """What made the classifier, and its numbers: of each thing that a text may hold a letter for each kind of question."""

    revision: int
    command: str
    data_sha256: str
    kinds: tuple[str, ...]
    biases: str
    weights: dict[str, str]

    def chances(self, found: Collection[str]) -> dict[str, float]:
        """How likely each kind of question is. As in training, a text counts alike however much it holds."""
        rows = [row.encode() for one in found if (row := self.weights.get(one))]
        levels = [sum(column) - ZERO * len(rows) for column in zip(*rows, strict=True)] or [0] * len(self.kinds)
        scale = LEVEL / math.sqrt(len(found))
        odds = [level * scale + (bias - ZERO) * LEVEL for level, bias in zip(levels, self.biases.encode(), strict=True)]
        most = max(odds)
        shares = [math.exp(one - most) for one in odds]
        whole = sum(shares)
        return {kind: share / whole for kind, share in zip(self.kinds, shares, strict=True)}


@lru_cache(maxsize=1)
def read() -> AspectsFile:
    """The classifier's file; kept, since each question asks it."""
    return msgspec.json.decode(FILE.read_bytes(), type=AspectsFile)


def held(fact: Facts, names: Sequence[Name], *, follows: bool) -> set[str]:
    """What a text holds besides its names: its letters, and what words hear in it."""
    return _letters(fact.text, names) | _heard(fact, names) | ({"follows"} if follows else set())


def _heard(fact: Facts, names: Sequence[Name]) -> set[str]:
    """What the lists of words say of a text: a judge of letters alone has to learn each of their words anew."""
    line = _without(fact.text, names)
    heard = reading.aspects(line)
    said = {
        "why": fact.why,
        "together": fact.together,
        "where": fact.asks_where,
        "disposal": fact.disposal,
        "negated": fact.negated,
        "danger": fact.situation is not None,
        "bin": bool(bins.asked_for(line, ())),
    }
    part = parts.part(fact.text, ())
    return {
        *(f"heard:{one}" for one in heard),
        *(f"first:{one}" for one in heard[:1]),
        *(f"asking:{one}" for one in (reading.aspects(line[fact.asks_from :]) if fact.asks_from else ())),
        f"many:{min(len(heard), _MANY)}",
        f"polar:{fact.sounds_polar} open:{fact.open}",
        *(f"case:{one}" for one in fact.cases),
        *(f"says:{one}" for one, is_said in said.items() if is_said),
        *((f"unknown:{fact.unknown.name}",) if fact.unknown else ()),
        *((f"part:{part[0]}",) if part else ()),
    }


def _without(text: str, names: Sequence[Name]) -> str:
    """The text with blanks in place of what is asked about."""
    for start, end, told in names:
        text = text if told else text[:start] + " " * (end - start) + text[end:]
    return text


def _letters(text: str, names: Sequence[Name]) -> set[str]:
    masked, done = "", 0
    for start, end, told in names:
        masked, done = masked + text[done:start] + ("△" if told else "□"), end
    letters = f" {_BETWEEN.sub(' ', _USED_TO.sub('', masked + text[done:])).strip()} "
    lengths = range(1, LONGEST_RUN + 1)
    found = {letters[start : start + length] for length in lengths for start in range(len(letters) - length + 1)}
    found |= {f"$:{letters.rstrip()[-length:]}" for length in range(2, 7)}
    return found | {f"^:{letters.strip()[:length]}" for length in (2, 3)}


def asked(heard: Sequence[str], fact: Facts, names: Sequence[Name], *, follows: bool) -> tuple[str, ...]:
    """The aspects whose words are heard, without those that are only told, and first of all the one that surely is asked."""
    found = held(fact, names, follows=follows)
    chances = read().chances(found)
    likeliest = max(chances, key=chances.__getitem__)
    # A fee is asked of whoever fetches a thing.
    chances["pickup"] += chances["unknown"]
    said = _SAID | DOWN if ROLES.poured.within(fact.text) else _SAID
    # The lid of "생수병 뚜껑은 따로 버려?" is in the name, where the judge does not look.
    said = said | {one for one in heard if f"heard:{one}" not in found}
    left = tuple(one for one in heard if one in said or chances.get(one, 1) >= _TOLD)
    if likeliest not in ASPECTS or chances[likeliest] < _SURE or likeliest in DOWN:
        return left
    return (likeliest, *(one for one in left if one != likeliest))
