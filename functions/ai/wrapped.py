"""What of the things named another one is with, dirty of, or wrapped in."""

import re
from collections.abc import Sequence

from functions.ai import bins, lists, parts
from functions.ai.mentions import Mention
from functions.ai.vocabulary import ROLES

# What follows a thing that is not the one thrown away: dirt on it, what it is wrapped in, what it came with.
_DIRT = re.compile(rf"[이가을를도만]?\s*(?:물[이가]?\s*)?(?:{ROLES.degree.source}\s*)?{ROLES.dirt.source}")
_TOOL = re.compile(rf"(?:으로|로|에)\s*(?:잘\s*)?{ROLES.wrapped.source}|(?<=[지이닐투랩일건])\s(?:싸서|싸고|싸야|깔고)")
# "비닐봉지째", "철사 부분": what it is in, and a part of it.
_WHOLE = re.compile(r"째|\s?부분")
# "국물 다 버리고 컵라면 용기만": what was in it is gone.
_GONE = re.compile(r"[을를은는도]?\s(?:다 |싹 |전부 |먼저 )?(?:버리|비우|쏟|따라 ?내|먹|마시)고\s.*[가-힣]만\s")
_WITH = re.compile(rf"{ROLES.together.source}(?![가-힣])")
_WITH_A = re.compile(rf"{ROLES.together.source}\s*$")


def without_beside(named: Sequence[Mention], text: str, *, follows: bool) -> Sequence[Mention]:
    """The mentions without dirt and wrappings, unless they are all there is."""
    dropped = beside(named, text, follows=follows)
    left = [
        one
        for one in named
        if one not in dropped and not (bins.is_where(one, text) and ROLES.said_to_be.at(text, one.end))
    ]
    if left and all(parts.is_part(one.words(text)) for one in left):
        # "송장 안 떼고 박스째": the part goes with the whole.
        dropped = [one for one in dropped if not _WHOLE.match(text, one.end)]
    return [one for one in named if one not in dropped] if len(dropped) < len(named) or follows else named


def beside(named: Sequence[Mention], text: str, *, follows: bool = False) -> list[Mention]:
    """The mentions of what another thing is with, dirty of, or wrapped in."""
    found = [
        one
        for one in named
        if _beside(one, text, follows=follows) or ((follows or one is not named[0]) and left_in(one, text))
    ]
    # "치즈랑 기름이 배었어요"
    return found + [
        one
        for run in lists.runs(named, text)
        if run[-1] in found and _DIRT.match(text, run[-1].end)
        for one in run[:-1]
        if one not in found
    ]


def as_tool(one: Mention, text: str) -> bool:
    """Whether a thing is only what another is tied with, wrapped in or still in: "끈으로 묶어서", "봉지째"."""
    return (_TOOL.match(text, one.end) or _WHOLE.match(text, one.end)) is not None


def left_in(one: Mention, text: str) -> bool:
    """Whether it is what is left in a thing ("스팸 캔 기름 많은데"), and not what is to be thrown away itself."""
    inside = _IN_IT.search(text, 0, one.start) is not None
    return ROLES.rest_in.is_all(one.words(text)) and (
        inside or (text[one.start - 1 : one.start] == " " and _PLENTY.match(text, one.end) is not None)
    )


_IN_IT = re.compile(r"[안속]에\s?(?:있는 |있던 |든 |남은 |들어 있는 )?$")
_PLENTY = re.compile(r"[이가은는도]?\s(?:너무 |엄청 |아직 |좀 |조금 )?(?:많|남|있|흥건|가득)")


def _beside(one: Mention, text: str, *, follows: bool) -> bool:
    """Whether it is what another thing is with, dirty of, or wrapped in."""
    return bool(
        (text[: one.start].isascii() and _WITH_A.search(text, 0, one.start))
        or _DIRT.match(text, one.end)
        or _TOOL.match(text, one.end)
        or _WHOLE.match(text, one.end)
        or _GONE.match(text, one.end)
        or (ROLES.stuff.is_all(one.words(text)) and parts.PART_NEXT.match(text, one.end))
        or (follows and ROLES.where.is_all(one.words(text)) and _WITH.match(text, one.end))
    )
