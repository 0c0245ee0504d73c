"""Things that a list joins: "페트병, 캔, 종이컵"."""

import re
from collections.abc import Sequence
from itertools import pairwise

from functions.ai.mentions import Mention
from functions.ai.vocabulary import GRAMMAR, WORD_ENDS

AND = re.compile(rf"\s*{GRAMMAR.joins.source}(?:\s*(?:,|a|an|the|and|그리고|{GRAMMAR.with_it.source}))*\s*")
# "책장 버릴거고 안에 꽂힌 문제집도", "시럽 남은 거하고 붙였던 패치": both go.
BOTH_GO = re.compile(
    r"버리(?:면서|는데|고\s(?!난|남|나))|버릴\s?(?:거고|건데|거랑|것과)|[거것건]\s?(?:하고|이?랑|과)\s|[,;+]|그리고"
)


def pairs(named: Sequence[Mention]) -> list[tuple[Mention, Mention]]:
    """Each thing with the next one."""
    return list(pairwise(named))


def runs(named: Sequence[Mention], text: str) -> list[list[Mention]]:
    """The mentions, those together that a list joins: "페트병, 캔, 종이컵"."""
    found: list[list[Mention]] = []
    for one in named:
        if found and AND.fullmatch(text[found[-1][-1].end : one.start]):
            found[-1].append(one)
        else:
            found.append([one])
    return found


def come_back_to(named: Sequence[Mention], text: str) -> list[Mention]:
    """Of several things the one that is asked about in the end: "튜브랑 빗이 남았는데 튜브는 어디에"."""
    again = _BACK.search(text)
    said = [one for one in named if again and one.end <= again.start() and one.words(text).endswith(again["word"])]
    return said or list(named)


_BACK = re.compile(r"(?<=[데고만])\s(?P<word>[가-힣]+?)[은는](?:요?\?|\s(?:어디|어떻게|어떡|어쩌|어느|무슨|뭘로|뭐로))")


def taken_off(one: Mention, text: str) -> bool:
    """Whether a thing comes off before another is put somewhere: "커튼 고리 떼고 의류함에 넣어야 하나"."""
    return _OFF.match(text, one.end) is not None


_OFF = re.compile(r"[을를은는도]?\s(?:다 |먼저 |꼭 )?(?:떼|빼|벗기|닦|분리하|뜯)고\s.*(?:버|넣|내)")


def next_word(one: Mention, text: str) -> tuple[str, int] | None:
    """The word that a list joins to a thing, without a particle, and where it begins."""
    comma = AND.match(text, one.end)
    word = _WORD.match(text, comma.end()) if comma else None
    return (word[0], word.start()) if word else None


_WORD = re.compile(rf"[가-힣]{{1,5}}?{WORD_ENDS}")


def joined(named: Sequence[Mention], word: str, text: str) -> bool:
    """Whether a list joins a thing and the word after it: "용기랑 뚜껑"."""
    matches = (AND.match(text, one.end) for one in named)
    # "샴푸통이랑 린스 펌프"
    next_to = re.compile(rf"(?:[가-힣a-z]+ )?{re.escape(word)}")
    return any(match is not None and next_to.match(text, match.end()) for match in matches)
