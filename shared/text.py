"""Rules for text that people send."""

_SAID: dict[str, str] = {}


def pattern(regex: str, says: str) -> str:
    """A pattern for a field, and what its error says instead of the regular expression, which is for programs."""
    _SAID[regex] = says
    return regex


def said(regex: str) -> str | None:
    """What a pattern says in words."""
    return _SAID.get(regex)


# PostgreSQL's text can't hold U+0000: a field with this pattern refuses it by name. `[^\x00]` takes line ends too.
NO_NUL = pattern(r"^[^\x00]*$", "must not contain U+0000")

# What no one sees, so that an app would show an empty line: blanks, controls, marks of direction, and letters without a
# form, of which the Hangul fillers are on every Korean keyboard's list of symbols.
_UNSEEN = r"\s\x01-\x1f\x7f-\x9f\u00ad\u115f\u1160\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164\ufeff\uffa0"
SEEN = pattern(rf"^[{_UNSEEN}]*[^{_UNSEEN}\x00][^\x00]*$", "must have something that can be seen, and no U+0000")

# What others see among words of their own: a line end, or a mark of direction that is left open, would change theirs too.
_BEYOND = r"\x00\n\x0b-\r\x85\u2028\u2029\u202a-\u202e\u2066-\u2069"
LINE = pattern(
    rf"^[^{_BEYOND}]*[^{_BEYOND}{_UNSEEN}][^{_BEYOND}]*$(?!\n)",
    "must be one line with something that can be seen, without U+0000 and marks that turn the direction of what follows",
)
