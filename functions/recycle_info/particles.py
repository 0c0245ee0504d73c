"""Korean particles, which depend on the sound that a word ends with: 칫솔은, 지우개는."""

import re

_PLACE = re.compile(r"\{name(?::(\w+))?\}")
# After a consonant, after a vowel.
_PAIRS = {
    "은": ("은", "는"),
    "이": ("이", "가"),
    "을": ("을", "를"),
    "과": ("과", "와"),
    "으로": ("으로", "로"),
    "이라": ("이라", "라"),
}
_FIRST, _LAST = 0xAC00, 0xD7A3
_FINALS, _RIEUL = 28, 8
# Letters and digits whose Korean names end with a consonant: 엘, 엠, 엔, 알; 영, 일, 삼, 육, 칠, 팔.
_CLOSED = frozenset("lmnr013678")


def fill(text: str, name: str, name_en: str) -> str:
    """The text with the name where it says {name}, and with the name and its particle where it says {name:은}.

    An English text has no particle, and takes the English name: it is the one without Hangul.
    """
    korean = bool(re.search("[가-힣]", text))
    return _PLACE.sub(lambda place: name + _particle(name, place[1]) if korean else name_en.lower(), text)


def _particle(word: str, wanted: str | None) -> str:
    if wanted is None:
        return ""
    closed, open_ = _PAIRS[wanted]
    last = word[-1].lower()
    if not _FIRST <= ord(last) <= _LAST:
        return closed if last in _CLOSED else open_
    final = (ord(last) - _FIRST) % _FINALS
    return open_ if final == 0 or (wanted == "으로" and final == _RIEUL) else closed
