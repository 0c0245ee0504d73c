"""Which of the things that a text names it asks about, and which it only tells of: a linear classifier of what is around a name.

"서랍에서 나온 건전지" asks about no drawer and "종이컵에 커피가 남았어" about no coffee; which words say so is without end. What
letters before and after a name speak for is in `asides.json`, in hundredths; `python -m tests.eval.asides` trains it. What the
rules hear (`roles.py`) counts with it, as little as it is right beside it.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from functions.ai import lists, parts, roles
from functions.ai.linear import read
from functions.ai.mentions import Mention
from functions.ai.vocabulary import GRAMMAR, ROLES

FILE = Path(__file__).with_name("asides.json")

Span = tuple[int, int]
"""Where a name is in the text: from, to."""

_PARTICLE = re.compile(rf"(?:{GRAMMAR.particles.source})(?![가-힣])")
# "형광등 두 개랑 유통기한 지난 약", "선풍기하고 못 쓰는 매트리스"
_WITH = re.compile(rf"(?:\s?{GRAMMAR.counts.source}\s?[가-힣]{{1,2}})?(?:이?랑|하고|와|과)\s(?:[가-힣]+\s){{0,3}}")
_OBJECTS = re.compile(r"[을를]\s")
_HOLDS = re.compile(rf"째|에\s?(?:담|넣|싸)|{ROLES.left_in.source}|\s?[안속][에의]?\s")
# What the rules' word adds to the odds, and how sure it must be of a second thing.
_RULES = 0.6
_OBJECT = 3.0
_SURE = 1.5


def asked(mentioned: Sequence[Mention], kept: Sequence[Mention], text: str, *, follows: bool = False) -> list[Mention]:
    """The things that are asked about, of all that a text mentions; the rules `kept` some. One at least where they kept any."""
    if len(mentioned) < 2 or not kept:
        return list(kept)
    heard = {one.start for one in kept}
    mentioned = [one for one in mentioned if one.start in heard or not _never_asked(one, kept, text)]
    spans = [(one.start, one.end) for one in mentioned]
    odds = [
        read(FILE).odds(around(text, spans, number, follows=follows)) + _by_rules(one, text, heard)
        for number, one in enumerate(mentioned)
    ]
    # A part is asked about beside what it belongs to.
    whole = [odd for one, odd in zip(mentioned, odds, strict=True) if not parts.is_part(one.words(text))]
    least = min(whole or odds)
    both = _both(mentioned, text) & heard
    return [
        one
        for one, odd in zip(mentioned, odds, strict=True)
        if odd == least
        or (one.start in heard and odd < (0 if parts.is_part(one.words(text)) else -_SURE))
        or one.start in both
    ]


def _never_asked(one: Mention, kept: Sequence[Mention], text: str) -> bool:
    """What the rules left out and no odds bring back: "참기름" of "참기름 유리병", the bag of "봉지째" and "봉지에 담은", and the
    appliance of "리모컨 건전지".
    """
    holder_of_it = any(text[one.end : other.start] == " " and "holder" in _kinds(other.words(text)) for other in kept)
    its_holder = "holder" in _kinds(one.words(text)) and any(text[other.end : one.start] == " " for other in kept)
    owner = one.item.category in roles.KEEPS and any(text[one.end : other.start] == " " for other in kept)
    return holder_of_it or its_holder or owner or _HOLDS.match(text, one.end) is not None


def _by_rules(one: Mention, text: str, heard: set[int]) -> float:
    """What the rules' word adds to the odds; the object of a sentence is no bin ("음식물 쓰레기를 봉지째 …")."""
    if one.start not in heard:
        return _RULES
    return -_OBJECT if ROLES.bin.is_all(one.words(text)) and _OBJECTS.match(text, one.end) else -_RULES


def _both(mentioned: Sequence[Mention], text: str) -> set[int]:
    """Where names begin that go with another one: "소금이랑 설탕", "전구도 나갔고 스탠드도 고장", "거울을 유리병이랑 같이"."""
    joined = [
        pair
        for pair in pairwise(mentioned)
        if (text[pair[0].end : pair[1].start] == " " and not text.startswith(("로", "으로"), pair[1].end))
        or lists.BOTH_GO.search(text, pair[0].end, pair[1].start)
        or all(text.startswith("도 ", one.end) for one in pair)
        or _WITH.fullmatch(text, pair[0].end, pair[1].start)
        or ROLES.thrown_with.at(text, pair[1].end)
    ]
    listed = [run for run in lists.runs(mentioned, text) if len(run) > 1]
    return {one.start for run in (*joined, *listed) for one in run} | {
        one.start for one in mentioned if ROLES.along.at(text, one.end)
    }


def around(text: str, spans: Sequence[Span], number: int, *, follows: bool = False) -> set[str]:
    """What a text holds around one of its names: how what follows begins, how what comes before ends, and runs of both."""
    start, end = spans[number]
    last = number + 1 == len(spans)
    before, after = text[spans[number - 1][1] if number else 0 : start], text[end:]
    between = after if last else text[end : spans[number + 1][0]]
    name, particle = text[start:end], _particle(after)
    place = f"{'last' if last else 'on'}{min(number, 1)}"
    found = {f"place:{min(number, 2)}of{min(len(spans), 3)}", f"name:{name}", f"ends:{name[-1:]}", f"ends:{name[-2:]}"}
    found |= {f"then:{after[:length]}" for length in range(1, 7)}
    found |= {f"till:{text[:start][-length:]}" for length in range(1, 5)}
    found |= {f"{'after' if last else 'next'}:{run}" for run in _runs(between[:16])}
    found |= {f"{'before' if number else 'first'}:{run}" for run in _runs(before[-12:])}
    verb = after[len(particle) :].strip()
    found |= {f"verb:{verb[:length]}" for length in (1, 2, 3)} | {f"verb:{particle}|{verb[:2]}"}
    found |= {f"particle:{particle}{place}", f"closing:{particle}|{text[-3:]}"}
    for kind in (kinds := _kinds(name)):
        found |= {f"kind:{kind}", f"kind:{kind}{place}", f"kind:{kind}{particle}"}
    if follows:
        found |= {"follows", f"follows:{place}", f"follows:{particle}"} | {f"follows:{kind}" for kind in kinds}
    if not last:
        # "자동차에 커피를 쏟았어": what the next name is to its verb.
        following = spans[number + 1]
        behind, following_name = text[following[1] :], text[slice(*following)]
        found |= {f"over:{behind[:length]}" for length in range(1, 5)}
        found |= {f"beside:{following_name[-length:]}" for length in (1, 2)}
        found |= {f"beside:{particle}|{_particle(behind)}"}
        found |= {f"kinds:{kind}+{other}" for other in _kinds(following_name) for kind in ("", *kinds)}
    if number:
        found |= {f"gap:{before}", f"gap:{_particle(before)}|{particle}"}
        found |= {f"kinds:{other}-{kind}" for other in _kinds(text[slice(*spans[number - 1])]) for kind in ("", *kinds)}
    return found | {"last" if last else f"next in {min(len(between), 6)}"}


def _particle(after: str) -> str:
    found = _PARTICLE.match(after)
    return found[0] if found else after[:1] if after[:1] in ("", " ") else "~"


def _kinds(name: str) -> list[str]:
    """What a name may be besides a thing: a part, a bin, a material, what holds something."""
    return [
        kind
        for kind, there in (
            ("part", parts.is_part(name)),
            ("where", ROLES.where.is_all(name)),
            ("bin", ROLES.bin.is_all(name)),
            ("stuff", ROLES.stuff.is_all(name)),
            ("holder", ROLES.holders.within(name[-2:])),
        )
        if there
    ]


def _runs(letters: str) -> Iterator[str]:
    for length in (2, 3):
        yield from (letters[start : start + length] for start in range(len(letters) - length + 1))
