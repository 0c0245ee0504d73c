"""Which of a question's clauses asks, and whether it asks which of two ways."""

import re

# "음식물인가 일반인가", "일반쓰레기야 음식물이야?", and no 전자레인지.
_IS_IT = r"(?:인가|(?<!레)인지|이냐|이야|[기류]야|[기류]냐|이에요|예요|일까|임)"
# "닫고 버려요, 열고 버려요?", "씻어, 말아?": one of two ways, and no yes or no.
_EITHER = re.compile(
    r"(?<![가-힣])([가-힣]+[요야지까나죠해돼려]|[가-힣]+[아어여]),?\s(?:아니면\s)?(?:[가-힣]+\s){0,2}\1[\s?!.~]*$"
    r"|\?\s(?:그냥|아님|아니면)\s[가-힣\s]+\?$"
    r"|(?<![도이가은는])\s(?:아니면|말아)(?![가-힣])|야 (?:하나|돼|해) 말"
    rf"|[가-힣]{_IS_IT}요?,?\s(?:[가-힣]+\s)?[가-힣]+{_IS_IT}요?[\s?!.~]*$"
    # "썰어야 하나 통으로 넣어도 되나", "닫고? 열고?"
    r"|[하되주]나요?,?\s(?:[가-힣]+\s){1,3}[가-힣]*나요?[\s?!.~]*$|[가-힣]고\?\s?[가-힣]+고\?"
)
# "다 씻었어요 재활용 돼요?", "깨끗하거든요 비닐이죠?": what is told before it is asked.
_PAST = f"(?![있겠])[{''.join(chr(code) for code in range(ord('갔'), ord('힣') + 1, 28))}]"
_TELLS = re.compile(rf"(?:[가-힣]거든요?|{_PAST}(?:어요?|음|는데요?|습니다))[\s,.!~]+")
_AS_TOLD = re.compile(r"(?:[그이]\s?(?:상태|대로)|그냥|그래도|이래도|[그이]런\s?(?:거|것|데|건))")


def asks_which(text: str) -> bool:
    """Whether it asks which of two ways."""
    return _EITHER.search(text) is not None


def asks_from(text: str) -> int:
    """Where the clause begins that asks; "젖었는데 그 상태로 넣어도 돼?" asks of what is told."""
    start = max((match.end() for match in _TELLS.finditer(text, 0, len(text) - 3)), default=0)
    return 0 if _AS_TOLD.search(text, start) else start
