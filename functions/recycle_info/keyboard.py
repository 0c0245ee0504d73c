"""Korean typed with the keyboard left in English: «vpxmqud» is «페트병»."""

import unicodedata

# Of the standard two-set layout: each key's letter, upper case where shift makes another one.
_KEYS = dict(
    zip(
        "rRseEfaqQtTdwWczxvgkoiOjpuPhynbml",
        "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎㅏㅐㅑㅒㅓㅔㅕㅖㅗㅛㅜㅠㅡㅣ",
        strict=True,
    )
)
_INITIALS = "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ"
_VOWELS = "ㅏㅐㅑㅒㅓㅔㅕㅖㅗㅘㅙㅚㅛㅜㅝㅞㅟㅠㅡㅢㅣ"
_FINALS = " ㄱㄲㄳㄴㄵㄶㄷㄹㄺㄻㄼㄽㄾㄿㅀㅁㅂㅄㅅㅆㅇㅈㅊㅋㅌㅍㅎ"
_COMPOUNDS = "ㅘㅗㅏ ㅙㅗㅐ ㅚㅗㅣ ㅝㅜㅓ ㅞㅜㅔ ㅟㅜㅣ ㅢㅡㅣ"
_COMPOUNDS += " ㄳㄱㅅ ㄵㄴㅈ ㄶㄴㅎ ㄺㄹㄱ ㄻㄹㅁ ㄼㄹㅂ ㄽㄹㅅ ㄾㄹㅌ ㄿㄹㅍ ㅀㄹㅎ ㅄㅂㅅ"
_PAIRS = {letters[1:]: letters[0] for letters in _COMPOUNDS.split()}


def hangul(typed: str) -> str | None:
    """The Korean that the same keys write, blanks kept; None where a letter would be alone: then English was meant."""
    words = [_word(word) for word in typed.split()]
    whole = [word for word in words if word is not None]
    return " ".join(whole) if whole and len(whole) == len(words) else None


def _word(typed: str) -> str | None:
    letters = [_KEYS.get(key) or _KEYS.get(key.lower()) for key in typed]
    text, at = "", 0
    while at < len(letters):
        first, vowel = letters[at], _at(letters, at + 1)
        if first is None or first not in _INITIALS or not vowel or vowel not in _VOWELS:
            return None
        at += 2
        if (both := _PAIRS.get(vowel + _at(letters, at))) and both in _VOWELS:
            vowel, at = both, at + 1
        final = _at(letters, at)
        # A consonant before a vowel begins the next syllable.
        if not final or final not in _FINALS or _at(letters, at + 1) in (*_VOWELS,):
            final = " "
        else:
            at += 1
            both = _PAIRS.get(final + _at(letters, at))
            if both and _at(letters, at + 1) not in (*_VOWELS,):
                final, at = both, at + 1
        text += chr(0xAC00 + (_INITIALS.index(first) * 21 + _VOWELS.index(vowel)) * 28 + _FINALS.index(final))
    return unicodedata.normalize("NFC", text)


def _at(letters: list[str | None], index: int) -> str:
    return (letters[index] or "") if index < len(letters) else ""
