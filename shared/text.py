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
