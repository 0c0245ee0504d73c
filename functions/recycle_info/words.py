"""What a person asks for, taken apart: "다 쓴 건전지는 어떻게 버려요?" asks for "건전지".

What the words look like is data (`rules/search.toml`); here are the rules that read them. The text as it was typed is always
tried too, so a word that this drops by mistake can still be found by its full name.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import accumulate

from msgspec import Struct

from functions.recycle_info import keyboard
from functions.recycle_info.search_rules import RULES
from functions.recycle_info.variants import LONGEST_PART, alike, singulars, swapped, turned, variants

# Syllables, and letters of an English question, that are looked at: the work for a query stays bounded.
LONGEST = 60
# Letters of the longest name looked for; the longest that there is has 33 in English and 11 in Korean.
LONGEST_NAME = 40
# Words of the longest English name looked for.
LONGEST_PHRASE = 5
# From so many words on, names of three words and more are not looked for, nor names that have all of the words.
LONG_TEXT = 12
# The share of the text as typed, if it is a name: more than all, because it was typed whole ("음식물처리기", not "음식물").
OUTRIGHT = 1.2
# Syllables from which a name at the end of a word is what the word means.
LONG_HEAD = 3
# Words of a query that are searched one by one.
MOST_WORDS = 8

# The share of a text with a word replaced by another for the same thing: more than what only sounds like a name (0.94), since
# 귤껍데기 is 귤껍질 and not 굴껍데기.
ALIKE = 1.12
# The share of a text whose words are replaced by what they are a kind of or may be, or left out.
KIND = 0.9
# The share of a text with two syllables in the other order: less than that of its end, which may be a name (0.6 to 0.7).
SWAPPED = 0.7
# The share of what the same keys write in Korean.
MISKEYED = 0.95
# The share of the topic of a sentence ("칫솔은 …").
TOPIC = 0.92


def _any(patterns: Sequence[str]) -> str:
    return "(?:" + "|".join(patterns) + ")"


_WORD = re.compile(r"[^\W_]+")
_HANGUL = re.compile(r"[가-힣]")
_INITIALS = re.compile("[\u1100-\u1112]{2,}")
_KOREAN_QUESTION = re.compile(_any(RULES.korean_question) + r"[가-힣]*")
_AFTERWARDS = re.compile(rf"(?:(?<=[가-힣]{{2}})\s*|(?<=[가-힣])\s+){_any(RULES.korean_afterwards)}")
_KOREAN_STATE = re.compile(rf"(?<![가-힣]){_any(RULES.korean_state)}(?![가-힣])")
_ENGLISH_QUESTION = re.compile(rf"\b{_any(RULES.english_question)}\b")
_ABOUT = re.compile(rf"{_any(RULES.korean_disposal)}|{_any(RULES.korean_predicate)}|\b{_any(RULES.english_disposal)}\b")
_PARTICLE = re.compile(rf"(?<=[가-힣]{{2}}){_any(RULES.particles)}$")
_TOPIC = re.compile(rf"(?<=[가-힣]{{2}}){_any(RULES.topics)}$")
_SHORT = re.compile(rf"[가-힣]{_any(RULES.short_particles)}")


class Head(Struct, frozen=True):
    """The end of a text that may be a name by itself, and what comes before it: a wooden chair is a chair.

    `bounded` where a new word begins with it, or what is before it only says how the thing is. Otherwise what is before must be
    a name too: 나무의자 is 의자 because 나무 is one, and 유튜브 is not a 튜브.
    """

    text: str
    before: str
    bounded: bool
    share: float


class Asked(Struct, frozen=True):
    """A query as the search needs it: texts, each with its share (0–1) of what is asked.

    Attributes:
        phrases: the text without what is asked about it, which may be a name, a part of one or one misspelt.
        words: its words, when there are several: they count together.
        parts: every run of syllables or words that may be a whole name by itself, the text as typed among them.
        names: texts that are the thing itself if they are a name: the text as typed, with another word for the same, its topic
            ("칫솔은 …"), and the words that a question for disposal mentions.
        wholes: what is left of the text without a word for a part or a packing at its end ("햇반 뚜껑").
        heads: the ends of the text that may be a name.
        initials: the query, where it is nothing but the first consonants of a name's syllables (ㄱㅈㅈ); else empty.
    """

    phrases: dict[str, float] = {}
    words: dict[str, float] = {}
    parts: dict[str, float] = {}
    names: dict[str, float] = {}
    wholes: dict[str, float] = {}
    heads: list[Head] = []
    initials: str = ""


def read(query: str) -> Asked:
    """Take a query apart; without a letter or digit in it, all is empty."""
    text = unicodedata.normalize("NFKC", query).lower()
    typed = _WORD.findall(text)
    whole = "".join(typed)[:LONGEST]
    if _INITIALS.fullmatch(whole):
        return Asked(initials=whole)
    bare = _without_question(_spelt(text)) or typed
    kept = [_PARTICLE.sub("", word) for word in bare]
    core = "".join(kept)[:LONGEST]
    if not core:
        return Asked()
    # A text that is longer than any name is part of none and is no misspelt one.
    phrases = {" ".join(kept): 1.0} if len(core) <= LONGEST_NAME and core not in RULES.other_words else {}
    names = dict.fromkeys(swapped(kept), SWAPPED) | dict.fromkeys(variants(kept), KIND)
    names |= dict.fromkeys([*alike(core), *turned(kept)], ALIKE)
    names |= dict.fromkeys(RULES.several.get(core, ()), KIND)
    names |= dict.fromkeys(singulars(core), 1.0)
    parts = {part: _share(part, core) for part in _parts(kept, core)}
    if len(kept) > 1 and (topic := next((_TOPIC.sub("", word) for word in bare if _TOPIC.search(word)), None)):
        names[topic] = TOPIC
    if whole != core:
        names[whole] = OUTRIGHT
    if _ABOUT.search(text):
        # "장롱이 낡아서 버리려고요": what is thrown away is what is mentioned.
        mentioned = {run: 0.4 + 0.3 * _share(run, core) for run in (*_runs(kept), *_bare(kept))}
        names = {run: share for run, share in mentioned.items() if run not in RULES.qualities} | names
    if query.isascii() and (meant := keyboard.hangul(query[:LONGEST])):
        # Nearly as good as an English name: «ice» could be 챋.
        as_typed = "".join(meant.split())
        names[as_typed] = max(names.get(as_typed, 0), MISKEYED)
        if len(as_typed) > 1:
            phrases[as_typed] = MISKEYED
    return Asked(phrases, _weighed(kept), names | parts, names, _wholes(core), [*_heads(kept)])


def _spelt(text: str) -> str:
    """The text as our names would spell it."""
    for said, meant in RULES.spellings:
        text = text.replace(said, meant)
    return text


def _share(part: str, core: str) -> float:
    # What a thing is comes last, in Korean and in English.
    weight = 0.5 if part in RULES.qualities else 1.15 if core.endswith(part) else 1.0
    return min(1.0, weight * len(part) / len(core))


def _weighed(kept: list[str]) -> dict[str, float]:
    """The last words, each with its share; none when there is one alone, or many: no name has them all."""
    words = kept[-MOST_WORDS:]
    if not 2 <= len(kept) < LONG_TEXT:
        return {}
    weights = {word: len(word) * (0.5 if word in RULES.qualities else 1.0) for word in words}
    weights[words[-1]] *= 1.5
    return {word: weight / sum(weights.values()) for word, weight in weights.items()}


def _without_question(text: str) -> list[str]:
    for noise in (_AFTERWARDS, _KOREAN_QUESTION, _KOREAN_STATE, _ENGLISH_QUESTION):
        text = noise.sub(" ", text)
    return _WORD.findall(text)


def _heads(words: list[str]) -> Iterator[Head]:
    text = "".join(words)[:LONGEST]
    begins = {sum(map(len, words[:number])) for number in range(1, len(words))}
    korean = bool(_HANGUL.search(text))
    for start in range(1, len(text)):
        before = text[:start]
        # A material is no thing (믹서기 유리 is no glass bottle), and what something came in is another thing (낙엽 봉투).
        if (text[start:] in RULES.materials and text[start:] in RULES.tails) or text[start:] in RULES.packings:
            continue
        bounded = start in begins or (korean and before in RULES.qualities) or text[start:] in RULES.generic
        # So long a name does not end other words by chance: 다이소바구니 is a 바구니.
        bounded = bounded or (korean and start > 1 and len(text) - start >= LONG_HEAD)
        if len(text) - start > LONGEST_NAME or not (bounded or start <= LONGEST_NAME):
            continue
        # A name of one syllable needs a word of its own.
        if start in begins or (korean and start < len(text) - 1):
            for name in singulars(text[start:]):
                yield Head(name, before, bounded, len(text[start:]) / len(text))


def _wholes(core: str) -> dict[str, float]:
    found = (core.removesuffix(tail) for tail in RULES.tails if core.endswith(tail))
    return {whole: len(whole) / len(core) for whole in found if len(whole) > 1}


def _runs(words: list[str]) -> Iterator[str]:
    """Every run of whole words, as many as a name may have."""
    longest = LONGEST_PHRASE if len(words) < LONG_TEXT else 2
    for first in range(len(words)):
        for last in range(first, min(first + longest, len(words))):
            yield from singulars("".join(words[first : last + 1]))


def _bare(words: list[str]) -> Iterator[str]:
    """The words without a particle that names may end with too ("장롱이", "약이")."""
    for word in words:
        for particle in RULES.short_particles:
            if word.endswith(particle) and _HANGUL.match(word) and len(word) > len(particle):
                yield word.removesuffix(particle)


def _parts(words: list[str], core: str) -> Iterator[str]:
    yield from _runs(words)
    # Names of one syllable, with a particle that names of two may end with ("약이 남았는데").
    yield from (word[0] for word in words if _SHORT.fullmatch(word))
    if _HANGUL.search(core):
        # From the middle of a word no name goes on into the next: of a sentence these would be seven hundred.
        ends = [*accumulate(map(len, words))]
        for first, end in zip([0, *ends], ends, strict=False):
            for start in range(first, min(end, len(core))):
                last = len(core) if start == first else min(end, len(core))
                for stop in range(start + 2, min(start + LONGEST_PART, last) + 1):
                    yield core[start:stop]
