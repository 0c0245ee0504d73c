"""Words that a slip of one letter tells apart."""

import unicodedata


def one_apart(word: str, other: str) -> bool:
    """Whether one letter (of Hangul, a jamo) more, less or other makes one of the other."""
    a, b = (unicodedata.normalize("NFD", each) for each in (word, other))
    if abs(len(a) - len(b)) > 1 or a == b:
        return False
    shorter, longer = sorted((a, b), key=len)
    first = next((i for i, char in enumerate(shorter) if char != longer[i]), len(shorter))
    rest = shorter[first + 1 :] if len(a) == len(b) else shorter[first:]
    return rest == longer[first + 1 :]
