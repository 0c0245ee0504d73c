"""The bins that a text names, and which of them it asks for."""

import re
from collections.abc import Sequence

from functions.ai.mentions import Mention
from functions.ai.vocabulary import BINS, MATERIAL_WORDS, ROLES, TOPICS

# What follows the name of a bin when a text asks for it, and not when it is what a thing is made of.
_INTO = re.compile(
    ROLES.into.source + rf"(?!\s?{ROLES.made.source})" + r"|(?:\s(?:recycling|bin|collection|waste))?\s*[?.!]*$"
)


# "is it okay to put tissues in paper": a bin, and not what a thing is of.
_IN_ENGLISH = re.compile(r"\b(?:in|into|to|with|as) (?:the |a |my |our )?$")
_TOLD = re.compile(r"[\s.!~ㅠㅜ]*")
_PUT_AS = re.compile(r"류?에\s?(?:버|넣|내|담)|류?으?로(?:\s?(?:버|배출|분류|분리|내|되|돼|가|처리|재활용)|[\s?!.]*$)")
_TOPIC = re.compile(r"[은는도이가]\s|이?(?:인데|니까|라서|거든요?)\s")
# "고무장갑 비닐류 맞죠"
_IS_IT = re.compile(r"[이가]?\s?맞")
# "plastic bag, plastic or vinyl bin?"
_EITHER = re.compile(r"\sor\s\w+\s(?:bin|recycling|collection)")
_COLLECTED = re.compile(
    r"\s?(?:수거함|전용|통에|함에|칸에|칸으로|쪽에|쪽으로"
    r"|(?:버리|모으|담|넣|수거하)는\s?(?:데|곳|통|자루|마대|봉투|함|칸|상자|박스|쪽))"
)


def as_bin(one: Mention, named: Sequence[Mention], text: str) -> bool:
    """Whether a thing named after another is the bin that is asked for: "유리창 깨졌는데 유리병으로 버려도 되나요"."""
    first = min(named, key=lambda other: other.start)
    if first is one or not any(start == one.start and end >= one.end for start, end, _ in named_in(text)):
        return False
    # "간장 페트병도 투명 페트병이야?"
    asked = (_TOPIC.match(text, first.end) or text[first.end : one.start] == " ") and _INTO.match(text, one.end)
    return bool(asked or _IS_IT.match(text, one.end) or _EITHER.match(text, one.end))


def collected(one: Mention, text: str) -> bool:
    """Whether a thing's name is that of its collection."""
    named = any(start <= one.start and end >= one.end for start, end, _ in named_in(text))
    return named and _COLLECTED.match(text, one.end) is not None


def asked_for(text: str, named: Sequence[Mention]) -> list[str]:
    """The categories of the bins that a text asks for, outside of the things' names: "플라스틱에 넣어도 되나요"."""
    found: list[str] = []
    for start, end, category in named_in(text):
        # "에어캡 비닐" is a name, and "에어캡 비닐류" asks for a bin.
        outside = all(end <= one.start or start >= one.end or (start >= one.start and end > one.end) for one in named)
        # "명함 종이" is a name, and "명함 종이로 버려도 돼?" asks for a bin.
        ending = any(start > one.start and end == one.end for one in named) and _PUT_AS.match(text, end)
        # "계량컵 유리", "쇼핑백 손잡이가 플라스틱": what it is of.
        told = _TOLD.fullmatch(text, end) and any(one.end <= start for one in named)
        told = told and not _IN_ENGLISH.search(text, 0, start)
        if (outside and not told and _INTO.match(text, end)) or ending:
            found.append(category)
    return list(dict.fromkeys(found))


def named_in(text: str) -> list[tuple[int, int, str]]:
    """The bins in a plain text: start, end, category. 종이 in 종이팩 is none."""
    found = [(*match.span(), category) for category, words in BINS.items() for match in words.all(text)]
    return [
        one
        for one in found
        if not any(other[0] <= one[0] and one[1] <= other[1] and other[:2] != one[:2] for other in found)
    ]


def spans(text: str) -> list[tuple[int, int]]:
    return [(start, end) for start, end, _ in named_in(text)]


def is_bin(words: str) -> bool:
    """Whether the words are nothing but the name of a bin or of a collection."""
    return TOPICS.collections.is_all(words) or any(names.is_all(words) for names in BINS.values())


def only_bins(named: Sequence[Mention], text: str) -> bool:
    """Whether all that is named is what something is thrown into: the thing itself has no name of ours."""
    return bool(named) and all(is_into(one, text) for one in named)


def is_into(one: Mention, text: str) -> bool:
    """Whether a mention is what something is thrown into, whatever it is."""
    return ROLES.bin.is_all(one.words(text)) and not _itself(one, text)


def is_where(one: Mention, text: str) -> bool:
    """Whether a mention is a material or a bin, or a fixture that something is put into."""
    return ROLES.where.is_all(one.words(text)) and not _itself(one, text)


def _itself(one: Mention, text: str) -> bool:
    """Whether a bin or a basin is the thing: "휴지통 깨졌어요"."""
    return ROLES.fixtures.is_all(one.words(text)) and _PUT_IN.match(text, one.end) is None


_PUT_IN = re.compile(rf"\s?{ROLES.put_in.source}")


def said_type(text: str) -> str | None:
    """The last kind of waste that a text names: "플라스틱 아닌데? 유리야"."""
    found = [(match.end(), len(match[0]), name) for name, words in MATERIAL_WORDS.items() for match in words.all(text)]
    return max(found)[2] if found else None
