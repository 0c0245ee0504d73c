"""Which id of a replay is which of the recording, and which times are the same moment.

A value is *made* when the system made it while it was recorded: an id with its time, random hexadecimal digits, a token, a
signature, the address of this system. A made value may differ in a replay, but always in the same way: the first time that it is
seen decides what it has become. Everything else has to be equal.
"""

import re
from datetime import datetime
from typing import Any

# Longest first: a token of three parts begins like a policy; an id is also a word of hexadecimal digits.
_MADE = re.compile(
    r"""(?P<token>eyJ[A-Za-z0-9+/=_-]{20,}(?:\.[A-Za-z0-9_-]+){0,2}(?<![._-]))
      | (?P<id>[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})
      | (?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d))
      | (?P<signed>AKIA[A-Z0-9]{16}|\d{8}T\d{6}Z|(?<=/)20\d{6}(?=/))
      | (?P<here>127\.0\.0\.1:\d+)
      | (?P<random>[0-9a-f]{16,}|[A-Za-z0-9_-]{20,})""",
    re.VERBOSE,
)
_SIGNATURE = "x-amz-signature"
_HEX = re.compile(r"[0-9a-f]{16,}")
# Seconds by which a time may differ: the same work takes a while longer or shorter.
TOLERANCE = 60.0


class Aligned:
    """`start` is when the recording began, in seconds since the epoch; `made` the values of it that a replay has others for."""

    def __init__(self, start: float) -> None:
        self.start = start
        self.made: dict[str, str] = {}
        # Upload forms by their signature: the recording's fields, and the replay's.
        self._forms: dict[str, tuple[dict[str, str], dict[str, str]]] = {}
        self._taken: dict[str, str] = {}

    def is_new(self, value: str) -> bool:
        """Whether the replay made it."""
        return value in self._taken

    def put(self, text: str) -> str:
        """A text of the recording with the replay's values in it."""
        return _MADE.sub(lambda found: self.made.get(found[0], found[0]), text) if self.made else text

    def put_form(self, text: str) -> str:
        """The same for an upload by form, whose fields belong together: a date is in the signature beside it."""
        for signature, (was, now) in self._forms.items():
            if signature in text:
                for name in was.keys() & now.keys():
                    text = text.replace(
                        f'name="{name}"\r\n\r\n{was[name]}\r\n', f'name="{name}"\r\n\r\n{now[name]}\r\n'
                    )
                break
        return self.put(text)

    def learn(self, was: Any, now: Any) -> None:
        """Look at an answer of the recording and at the replay's for values that are made."""
        if isinstance(was, dict) and isinstance(now, dict):
            if _SIGNATURE in was and _SIGNATURE in now:
                self._forms[str(was[_SIGNATURE])] = (was, now)
            for key in was.keys() & now.keys():
                self.learn(was[key], now[key])
        elif isinstance(was, list) and isinstance(now, list):
            for one, other in zip(was, now, strict=False):
                self.learn(one, other)
        elif isinstance(was, str) and isinstance(now, str):
            self.same(was, now)

    def same(self, was: str, now: str) -> bool:
        """Whether two texts differ in made values alone, and in those as before."""
        if was == now:
            return True
        first, second = list(_MADE.finditer(was)), list(_MADE.finditer(now))
        if _between(was, first) != _between(now, second):  # which are as many as the values, and one
            return False
        # Each of them, for all are learnt from.
        return sum(self._alike(one, other) for one, other in zip(first, second, strict=True)) == len(first)

    def masked(self, text: str) -> str:
        """The text without what may differ, for things that are compared as a set."""
        return _MADE.sub(lambda found: found[0] if not self._is_made(found) else f"‹{found.lastgroup}›", text)

    def _alike(self, one: re.Match[str], other: re.Match[str]) -> bool:
        was, now, kind = one[0], other[0], one.lastgroup
        if was == now:
            return True
        if kind != other.lastgroup:
            return False
        if kind == "time":
            return self._is_made(one) and abs(seconds(was) - seconds(now)) <= TOLERANCE
        if not (self._is_made(one) and self._is_made(other)):
            return False
        if kind in ("signed", "here"):
            return True
        if self.made.setdefault(was, now) != now:
            return False
        return self._taken.setdefault(now, was) == was

    def _is_made(self, found: re.Match[str]) -> bool:
        text, kind = found[0], found.lastgroup
        if kind == "id":
            # Version 7 tells when; 4 is random; one made from a name (5) is the same everywhere.
            return text[14] == "4" or (
                text[14] == "7" and int(text[:8] + text[9:13], 16) / 1000 >= self.start - TOLERANCE
            )
        if kind == "time":
            return seconds(text) >= self.start - TOLERANCE
        if kind == "random":
            some = re.search(r"\d", text) and re.search("[a-z]", text)
            return bool(some and (_HEX.fullmatch(text) or re.search("[A-Z]", text)))
        return True


def seconds(text: str) -> float:
    """A time in RFC 3339 as seconds since the epoch; 0 for none."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return 0.0


def _between(text: str, found: list[re.Match[str]]) -> list[str]:
    """What is around the values."""
    edges = [0, *(edge for one in found for edge in one.span()), len(text)]
    return [text[start:end] for start, end in zip(edges[::2], edges[1::2], strict=True)]
