"""What a person asks for, taken apart: "다 쓴 건전지는 어떻게 버려요?" asks for "건전지".

The text as it was typed is always tried too, so a word that this drops by mistake can still be found by its full name.
"""

import re
import unicodedata
from collections.abc import Iterator

from msgspec import Struct

from functions.recycle_info import keyboard

# Syllables, and letters of an English question, that are looked at: the work for a query stays bounded.
LONGEST = 60
# A name inside a Korean sentence: syllables of the longest one looked for.
LONGEST_PART = 12
# Words of the longest English name looked for.
LONGEST_PHRASE = 5
# The share of the text as typed, if it is a name: more than all, for it was typed whole ("음식물처리기", not "음식물").
OUTRIGHT = 1.2
# Words of a query that are searched one by one.
MOST_WORDS = 8

# The share of a text with a word replaced by another for the same thing.
ALIKE = 0.9
# The share of what the same keys write in Korean.
MISKEYED = 0.95

_WORD = re.compile(r"[^\W_]+")
_HANGUL = re.compile(r"[가-힣]")
_INITIALS = re.compile("[\u1100-\u1112]{2,}")
# What is asked about a thing, with its endings (버려요, 버리나요, 버리는), wherever it stands in a word.
_KOREAN_QUESTION = re.compile(
    r"(어떻게|어디|어느|무슨|뭘로|뭐로|어떤|버리|버려|버릴|버림|분리\s*수거|분리\s*배출|재활용|배출\s*(?:방법|법)|처리|처분"
    r"|되나|되는지|돼요|될까|안\s*되는|인가요|일까|해야|하나요|하는|할까|가능|방법|알려|궁금|무료|수거(?!함))[가-힣]*"
)
# How a thing is when it is thrown away: no name of ours needs it.
_KOREAN_STATE = re.compile(
    r"(?<![가-힣])(다\s*쓴|다\s*먹은|다\s*마신|쓰고\s*남은|먹다\s*남은|먹고\s*남은|안\s*쓰는|못\s*쓰는|쓰던|사용한|사용하던|오래된"
    r"|고장\s*난|고장|망가진|낡은|헌|빈|남은|쓰다\s*남은|쓰고\s*난|작아진|구멍\s*난|찌그러진|파손된|입던|해진|만료된|이거|이것|그냥|혹시|제가|집에서)(?![가-힣])"
)
# The particles that no name ends with; 이, 가, 도 and 로 end too many.
_PARTICLE = re.compile(r"(?<=[가-힣]{2})(은|는|을|를|이랑|하고|에는|들은|들을|이요|요)$")
_TOPIC = re.compile(r"(?<=[가-힣]{2})(은|는)$")
_SHORT = re.compile(r"[가-힣](?:[은는이가을를도만로와과의에]|이랑|하고|에서|으로|이나|이고|인데)")
_ENGLISH_QUESTION = re.compile(
    r"\b((how|where|what|which|when|why)(\s+(do|can|should|would|to|is|are|bin|way))*(\s+(i|you|we|one|people))?"
    r"|(can|could|should|may|do|does)\s+(i|you|we|one|it|they)|(can|should|must)\s+be|is|are|it|they|do|does|to|go|goes|the|a|an|my|our"
    r"|your|this|that|these|those|some|in|into|with|for|from|of|on|at|put|please|tell|me|about|throw(ing)?|thrown|away|out"
    r"|dispos(e|ed|ing|al)|recycl(e|ed|ing|able)|get|rid|dump(ing)?|discard(ing)?|korea|old|used|empty|unwanted)\b"
)

# How a thing is, or what it is made of: names begin with these too, so they are kept, but they say less.
_QUALITIES = frozenset({
    "깨진", "부서진", "찢어진", "더러운", "깨끗한", "젖은", "녹슨", "작은", "큰", "대형", "소형", "일회용", "휴대용",
    "플라스틱", "나무", "유리", "종이", "가죽", "아기", "어린이", "아이",
    "broken", "dirty", "clean", "wet", "rusty", "torn", "small", "large", "big", "mini", "disposable", "portable",
    "plastic", "wooden", "glass", "paper", "leather", "kids",
})  # fmt: skip


# Words for one thing, of which our names use any: «양파 껍데기» is «양파 껍질».
_ALIKE = (
    *(("껍데기", "껍질"), ("봉지", "봉투", "비닐", "봉다리"), ("통", "용기", "병", "팩"), ("박스", "상자", "곽", "갑")),
    *(("배터리", "밧데리", "건전지"), ("뼈", "뼈다귀"), ("캔", "깡통"), ("케이스", "커버"), ("램프", "전구", "등")),
    *(("폰", "휴대폰", "핸드폰"), ("티비", "텔레비전"), ("씨", "씨앗")),
)


class Asked(Struct, frozen=True):
    """A query as the search needs it: texts, each with its share (0–1) of what is asked.

    Attributes:
        phrases: the text without what is asked about it, and its topic ("칫솔은 …"): each may be the name meant.
        words: its words, when there are several: they count together.
        parts: every run of syllables or words that may be a whole name by itself, the text as typed among them.
        initials: the query, where it is nothing but the first consonants of a name's syllables (ㄱㅈㅈ); else empty.
    """

    phrases: dict[str, float]
    words: dict[str, float]
    parts: dict[str, float]
    initials: str = ""


def read(query: str) -> Asked:
    """Take a query apart; without a letter or digit in it, all is empty."""
    text = unicodedata.normalize("NFKC", query).lower()
    typed = _WORD.findall(text)
    bare = _without_question(text) or typed
    kept = [_PARTICLE.sub("", word) for word in bare]
    whole, core = "".join(typed)[:LONGEST], "".join(kept)[:LONGEST]
    phrases = {core: 1.0} if core else {}
    if len(kept) > 1 and (topic := next((_TOPIC.sub("", word) for word in bare if _TOPIC.search(word)), None)):
        phrases.setdefault(topic, 0.92)
    parts = dict.fromkeys(_alike(core), ALIKE)
    parts |= {part: _share(part, core) for part in _parts(kept, core)}
    if whole != core:
        parts[whole] = OUTRIGHT
    if _INITIALS.fullmatch(whole):
        return Asked({}, {}, {}, whole)
    if query.isascii() and (meant := keyboard.hangul(query[:LONGEST])):
        # Nearly as good as an English name: «ice» could be 챋.
        as_typed = "".join(meant.split())
        parts[as_typed] = max(parts.get(as_typed, 0), MISKEYED)
        if len(as_typed) > 1:
            phrases[as_typed] = MISKEYED
    return Asked(phrases, _weighed(kept[-MOST_WORDS:]) if len(kept) > 1 else {}, parts)


def _share(part: str, core: str) -> float:
    # What a thing is stands last, in Korean and in English: a wooden chair is a chair.
    weight = 0.5 if part in _QUALITIES else 1.15 if core.endswith(part) else 1.0
    return min(1.0, weight * len(part) / len(core))


def _weighed(words: list[str]) -> dict[str, float]:
    weights = {word: len(word) * (0.5 if word in _QUALITIES else 1.0) for word in words}
    weights[words[-1]] *= 1.5
    return {word: weight / sum(weights.values()) for word, weight in weights.items()}


def _without_question(text: str) -> list[str]:
    for noise in (_KOREAN_QUESTION, _KOREAN_STATE, _ENGLISH_QUESTION):
        text = noise.sub(" ", text)
    return _WORD.findall(text)


def _parts(words: list[str], core: str) -> Iterator[str]:
    for first in range(len(words)):
        for last in range(first, min(first + LONGEST_PHRASE, len(words))):
            yield from _singulars("".join(words[first : last + 1]))
    # Names of one syllable, with a particle that names of two may end with ("약이 남았는데").
    yield from (word[0] for word in words if _SHORT.fullmatch(word))
    if _HANGUL.search(core):
        for start in range(len(core)):
            for end in range(start + 2, min(start + LONGEST_PART, len(core)) + 1):
                yield core[start:end]


def _alike(core: str) -> Iterator[str]:
    for words in _ALIKE:
        word = max((word for word in words if core.endswith(word)), key=len, default="")
        if 0 < len(word) < len(core):
            yield from (core[: -len(word)] + other for other in words if other != word)


def _singulars(phrase: str) -> Iterator[str]:
    yield phrase
    if phrase.isascii() and len(phrase) > 3:
        if phrase.endswith("ies"):
            yield phrase[:-3] + "y"
        if phrase.endswith("es"):
            yield phrase[:-2]
        if phrase.endswith("s"):
            yield phrase[:-1]
