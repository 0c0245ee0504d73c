"""Which of the things that a text names it only tells of, where rules leave several: a linear classifier of what is around them.

"서랍에서 나온 건전지" asks about no drawer and "종이컵에 커피가 남았어" about no coffee; which words say so is without end. What
letters before and after a name speak for is in `asides.json`, in hundredths; `python -m tests.eval.asides` trains it. Rules come
first (`roles.py`): this takes away what is very likely told of, beside a thing that likely is asked about, and adds nothing.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from functions.ai.linear import read
from functions.ai.mentions import Mention
from functions.ai.roles import BOTH_GO, is_thing

FILE = Path(__file__).with_name("asides.json")

Span = tuple[int, int]
"""Where a name is in the text: from, to."""

_ENDS = re.compile(r"[?!.]\s")
# How much surer it is to be told of than another thing that is named, odds of nine to two; and its own, nine to five.
_CLEAR = 1.5
_LIKELY = 0.6


def without(named: Sequence[Mention], mentioned: Sequence[Mention], text: str) -> list[Mention]:
    """The things named, without those that are only told of; `mentioned` are all in the text. Parts, materials and bins stay."""
    if len(named) < 2:
        return list(named)
    spans = [(one.start, one.end) for one in mentioned if is_thing(one, text)]
    asked = {one.start for one in named}
    odds = {start: read(FILE).odds(around(text, spans, n)) for n, (start, _) in enumerate(spans) if start in asked}
    if len(odds) < 2:
        return list(named)
    told = {start for start, odd in odds.items() if odd > _LIKELY and odd - min(odds.values()) > _CLEAR}
    joined = {
        start
        for one, other in pairwise(spans)
        if BOTH_GO.search(text, one[1], other[0])
        for start in (one[0], other[0])
    }
    return [one for one in named if one.start not in told - joined or _said_by_itself(one, text)]


def _said_by_itself(one: Mention, text: str) -> bool:
    """Whether its sentence ends before another thing may be named: "우유곽은 종이 아냐? 신문이랑 같이 묶었지"."""
    return _ENDS.search(text, one.end, len(text) - 1) is not None


def around(text: str, spans: Sequence[Span], number: int) -> set[str]:
    """What a text holds around one of its names: how what follows begins, how what comes before ends, and runs of both."""
    start, end = spans[number]
    last = number + 1 == len(spans)
    before, after = text[spans[number - 1][1] if number else 0 : start], text[end:]
    between = after if last else text[end : spans[number + 1][0]]
    name = text[start:end]
    found = {f"place:{min(number, 2)}of{min(len(spans), 3)}", f"name:{name}", f"ends:{name[-1:]}", f"ends:{name[-2:]}"}
    found |= {f"then:{after[:length]}" for length in range(1, 7)} | {
        f"till:{text[:start][-length:]}" for length in range(1, 5)
    }
    found |= {f"{'after' if last else 'next'}:{run}" for run in _runs(between[:16])}
    found |= {f"{'before' if number else 'first'}:{run}" for run in _runs(before[-12:])}
    if not last:
        # "자동차에 커피를 쏟았어": what the next name is to its verb.
        behind = text[spans[number + 1][1] :]
        found |= {f"over:{behind[:length]}" for length in range(1, 5)}
    return found | {"last" if last else f"next in {min(len(between), 6)}"}


def _runs(letters: str) -> Iterator[str]:
    for length in (2, 3):
        yield from (letters[start : start + length] for start in range(len(letters) - length + 1))
