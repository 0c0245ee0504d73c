"""Lists of phrases, as the files in `words/` hold them, compiled to one pattern each.

A phrase is what people write, in small letters. A blank may be left out in Korean. `*` ends an English word with any ending,
`...` is up to three words, `^` and `$` are where a Korean word begins and ends, `<name>` is any phrase of the file's list
of that name. `~` after a Korean verb's stem is any of its forms (`버리~`: 버리고, 버려, 버린), at the beginning of a word.
An English phrase is whole words; a Korean one may be inside of a word, as stems do.
"""

import functools
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

FOLDER = Path(__file__).parent / "words"
T = TypeVar("T")


class Phrases(Struct, forbid_unknown_fields=True):
    """A list as it is written. Where a phrase of `unless` is, no phrase of the list counts."""

    ko: list[str] = []
    en: list[str] = []
    unless: list[str] = []


class Words:
    """A list that is ready to be looked for in a plain text."""

    def __init__(self, phrases: Phrases, others: Mapping[str, Phrases] | None = None) -> None:
        self.phrases = [*phrases.ko, *phrases.en]
        self.source = either(self.phrases, others)
        self._begins = _begins(self.phrases, others or {})
        self._unless = f"(?:{either(phrases.unless, others)})|" if phrases.unless else ""

    # Compiled when first looked for: all 339 lists, each in both ways, take half a second of every process that imports them.
    @functools.cached_property
    def _wanted(self) -> re.Pattern[str]:
        return re.compile(f"{self._unless}(?P<wanted>{self.source})")

    @functools.cached_property
    def _whole(self) -> re.Pattern[str]:
        return re.compile(self.source)

    def all(self, text: str) -> Iterator[re.Match[str]]:
        """Where its phrases are."""
        if self._is_nowhere(text):
            return iter(())
        return (match for match in self._wanted.finditer(text) if match["wanted"] is not None)

    def _is_nowhere(self, text: str) -> bool:
        """Whether no letter of the text begins one of its phrases: so it is with most lists and texts, and seen at once."""
        return self._begins is not None and self._begins.isdisjoint(text)

    def within(self, text: str) -> bool:
        """Whether one of its phrases is anywhere in the text."""
        if self._unless:
            return any(True for _ in self.all(text))
        return not self._is_nowhere(text) and self._whole.search(text) is not None

    def at(self, text: str, place: int) -> re.Match[str] | None:
        """Its phrase that begins there."""
        return self._whole.match(text, place)

    def count(self, text: str) -> int:
        return sum(1 for _ in self.all(text))

    def is_all(self, text: str) -> bool:
        """Whether the text is one of its phrases and nothing else."""
        return self._whole.fullmatch(text) is not None

    def without(self, text: str, mark: str = " ") -> str:
        """The text with a blank, or another mark, in place of each of its phrases."""
        return text if self._is_nowhere(text) else self._whole.sub(mark, text)


def either(phrases: list[str], others: Mapping[str, Phrases] | None = None) -> str:
    """An expression for any of the phrases, the longest first; one that matches nothing for no phrase."""
    ordered = sorted(phrases, key=len, reverse=True)
    if not ordered:
        return r"(?:(?!))"
    # What they begin with comes first: at most places of a text it is all that has to be tried.
    begins = _begins(phrases, others or {})
    ahead = "" if begins is None else f"(?=[{re.escape(''.join(sorted(begins)))}])"
    return f"(?:{ahead}(?:{'|'.join(_pattern(phrase, others or {}) for phrase in ordered)}))"


def _begins(phrases: Iterable[str], others: Mapping[str, Phrases]) -> frozenset[str] | None:
    """The letters that these phrases may begin with; None where it may be any."""
    found: set[str] = set()
    for phrase in phrases:
        # `^` is a sign in Korean, and a letter as others in English.
        rest = phrase if _is_english(phrase.partition("<")[0]) else phrase.removeprefix("^")
        if name := re.match(r"<(\w+)>", rest):
            letters = _begins([*others[name[1]].ko, *others[name[1]].en], {})
            if letters is None:
                return None
            found |= letters
        elif len(phrase) == 2 and phrase.endswith("~"):
            found.update(verb_forms(phrase[0])[1:-1] if verb_forms(phrase[0]).startswith("[") else phrase[0])
        elif rest[:1] in ("", " ", ".", "$"):
            return None
        else:
            found.add(rest[0])
    return frozenset(found)


def _pattern(phrase: str, others: Mapping[str, Phrases]) -> str:
    pieces = re.split(r"(<\w+>)", phrase)
    return "".join(
        either([*others[piece[1:-1]].ko, *others[piece[1:-1]].en], {}) if piece.startswith("<") else _letters(piece)
        for piece in pieces
    )


def _letters(text: str) -> str:
    if text.endswith("~"):
        return rf"(?<![가-힣]){_spaced(text[:-2])}{verb_forms(text[-2])}"
    if not _is_english(text):
        begins, ends = text.startswith("^"), text.endswith("$")
        body = _spaced(text.removeprefix("^").removesuffix("$"))
        return (r"(?<![가-힣])" if begins else "") + body + (r"(?![가-힣])" if ends else "")
    body = re.escape(text).replace(r"\ \.\.\.\ ", r"\s+(?:\w+\s+){0,3}").replace(r"\ ", r"\s+").replace(r"\*", r"\w*")
    return rf"(?<![a-z]){body}(?![a-z])"


def _is_english(text: str) -> bool:
    return text.isascii() and any(letter.isalpha() for letter in text)


def _spaced(text: str) -> str:
    return r"\s?".join(_FEW_WORDS if word == "..." else re.escape(word) for word in text.split(" "))


# Up to three words between two of Korean, where each blank may be left out.
_FEW_WORDS = r"(?:\S+\s){0,3}"


_VOWELS, _FINALS = 21, 28
# Final consonants that an ending may add to a stem without one: ㄴ ㄹ ㅁ ㅂ.
_ADDED = (0, 4, 8, 16, 17)
_PAST = 20
# The stem's vowel before the ending 어: ㅣ as ㅕ, ㅜ as ㅝ, ㅗ as ㅘ, ㅡ as ㅓ; the others stay.
_CONTRACTED = {20: 6, 13: 14, 8: 9, 18: 4}
# What may follow a stem that ends with a consonant: beginnings of endings. 묶음 is no form of 묶다, 담당 none of 담다.
_ENDINGS = "[어으을은음아았었는고지나자기던더겠습게면네냐니죠도거]"


def verb_forms(stem: str) -> str:
    """An expression for the last syllable of a Korean verb's stem in all its forms."""
    code = ord(stem) - ord("가")
    if code % _FINALS:
        return stem + _ENDINGS
    initial, vowel = divmod(code // _FINALS, _VOWELS)
    forms = {(vowel, final) for final in _ADDED} | {(_CONTRACTED.get(vowel, vowel), final) for final in (0, _PAST)}
    return "[" + "".join(chr(ord("가") + (initial * _VOWELS + v) * _FINALS + f) for v, f in sorted(forms)) + "]"


def read(name: str, into: type[T]) -> T:
    """A file of `words/`, in the shape that its reader needs.

    Raises:
        ValueError: it has another shape; the message names the file.
    """
    try:
        return msgspec.convert(tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8")), into)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ValueError(f"words/{name}.toml: {error}") from error


def named(file: str, into: type[T]) -> list[T]:
    """A file's entries, each with its name."""
    return [msgspec.convert({**entry, "name": name}, into) for name, entry in read(file, dict[str, Any]).items()]


class Lists:
    """A file of lists, each by its name; `checker.py` looks for those that are in the file or in the program alone."""

    def __init__(self, file: str) -> None:
        self._file = file
        found = read(file, dict[str, Phrases])
        self.__dict__ |= {name: Words(phrases, found) for name, phrases in found.items()}

    def __getattr__(self, name: str) -> Words:
        raise AttributeError(f"words/{self._file}.toml has no list {name}")
