"""What comes in the place of a personal detail: the same for the same, wherever it is (personal.toml has the rule)."""

import base64
import hashlib
import hmac
import json
import math
import re
import secrets
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

_EMAIL = re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+")
_PHONE = re.compile(r"(?<![\d.-])(?:\+82[- ]?|0)\d{1,2}[- ]?\d{3,4}[- ]?\d{4}(?![\d.-])")
_JWT = re.compile(r"eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_OPENS = re.compile(r"(?=.*\d)(?=.*[A-Z])[A-Za-z0-9._~+/=-]{20,}")
_RESIDENT = re.compile(r"(?<!\d)\d{6}-?[1-4]\d{6}(?!\d)")
ADDRESS = "서울특별시 중구 세종대로 110"
_PHONE_OF_NOBODY = "02-000-0000"
# Found in free text, these would take half of the language with them.
_SHORTEST = 2


@cache
def rule() -> dict[str, Any]:
    """personal.toml."""
    found: dict[str, Any] = tomllib.loads((Path(__file__).parent / "personal.toml").read_text(encoding="utf-8"))
    return found


@cache
def _kinds(of: str) -> dict[str, str]:
    """Fields' names and their rule."""
    return {name: kind for kind, names in rule()[of].items() for name in names}


class Replacer:
    """Replaces the details of one recording. `counts` says how often, by where and rule."""

    def __init__(self, sign: Callable[[dict[str, Any]], str]) -> None:
        """`sign`: makes a token of claims, with a key of the new state."""
        self.counts: Counter[tuple[str, str]] = Counter()
        self.passwords: dict[str, str] = {}
        # Whether a value was made by the system that replays: it is no one's detail.
        self.leave: Callable[[str], bool] = lambda value: False
        self._sign = sign
        self._key = secrets.token_bytes(32)
        self._people: dict[str, int] = {}
        self._places: dict[str, int] = {}
        self._tokens: dict[str, str] = {}
        # What is looked for in free text.
        self._known: dict[str, str] = {}
        self._pattern: re.Pattern[str] | None = None

    # Kinds of details

    def value(self, kind: str, value: Any, where: str) -> Any:
        """What comes in the place of a value of this kind; None stays."""
        if value is None or value == "":
            return value
        made = getattr(self, f"_{kind}")(value)
        if made != value:
            self.counts[where, kind] += 1
        return made

    def same_person(self, name: str, email: str) -> None:
        """A name and an e-mail address are one person's."""
        number = self._people.setdefault(name.lower(), len(self._people) + 1)
        self._people.setdefault(email.lower(), number)

    def _person(self, value: str) -> int:
        return self._people.setdefault(value.lower(), len(self._people) + 1)

    def _name(self, value: str) -> str:
        if _EMAIL.fullmatch(value):  # one may log in by either
            return self._email(value)
        return self._remember(value, f"person-{self._person(value)}")

    def _email(self, value: str) -> str:
        return self._remember(value, f"person-{self._person(value)}@example.com")

    def _place(self, value: str) -> str:
        return self._remember(value, f"place-{self._places.setdefault(value, len(self._places) + 1)}")

    def _address(self, value: str) -> str:
        return self._remember(value, ADDRESS)

    def _phone(self, value: str) -> str:
        return self._remember(value, _PHONE_OF_NOBODY)

    def _password(self, value: str) -> str:
        return self.passwords.setdefault(value, f"{self._random(value)[:20]}-A1")

    def _secret(self, value: Any) -> Any:
        # Fields of these names also hold words: a guide's `state` is `complete`.
        if not isinstance(value, str) or self.leave(value) or not _OPENS.fullmatch(value):
            return value
        if _JWT.fullmatch(value):
            return self.token(value)
        return self._tokens.setdefault(value, self._random(value))

    def _subject(self, value: str) -> str:
        return self._random(value)[:16]

    def _random(self, value: str) -> str:
        digest = hmac.digest(self._key, value.encode(), "sha256")
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

    def _digest(self, value: str) -> str:
        """Of a token that is known by now, that of its successor; of another one, of nothing."""
        for was, now in self._tokens.items():
            if hashlib.sha256(was.encode()).hexdigest() == value:
                return hashlib.sha256(now.encode()).hexdigest()
        return hmac.new(self._key, value.encode(), "sha256").hexdigest()

    def _bytes(self, value: bytes) -> bytes:
        return hmac.digest(self._key, value, "sha256")

    def _position(self, value: Any) -> Any:
        try:
            rounded = round(float(value), 1)
        except (TypeError, ValueError):
            return self.text(str(value))
        return str(rounded) if isinstance(value, str) else type(value)(str(rounded))

    def _box(self, value: Any) -> Any:
        """`minlon,minlat,maxlon,maxlat`, widened to tenths of degrees."""
        try:
            west, south, east, north = (10 * float(edge) for edge in str(value).split(","))
        except ValueError:
            return self._text(value)
        return ",".join(
            str(edge / 10) for edge in (math.floor(west), math.floor(south), math.ceil(east), math.ceil(north))
        )

    def _text(self, value: Any) -> Any:
        return self.text(value) if isinstance(value, str) else value

    def _json(self, value: Any) -> Any:
        return self.json(value, "")

    def _remember(self, value: str, made: str) -> str:
        if len(value) >= _SHORTEST and self._known.get(value) != made:
            self._known[value] = made
            self._pattern = None
        return made

    # Texts

    def text(self, text: str) -> str:
        """Free text, without what is known by name, and without what looks like an address of a person."""
        if self._known:
            if self._pattern is None:
                longest = sorted(self._known, key=len, reverse=True)
                # A Latin name only as a word: Ann is in Annual.
                words = [
                    rf"(?<![A-Za-z0-9]){re.escape(w)}(?![A-Za-z0-9])" if w.isascii() else re.escape(w) for w in longest
                ]
                self._pattern = re.compile("|".join(words), re.IGNORECASE)
                self._folded = {known.lower(): made for known, made in self._known.items()}
            text = self._pattern.sub(lambda found: self._folded.get(found[0].lower(), "…"), text)
        text = _JWT.sub(lambda found: self.token(found[0]), text)
        ours = set(self._known.values())
        text = _EMAIL.sub(lambda found: found[0] if found[0] in ours else self._email(found[0]), text)
        return _PHONE.sub(_PHONE_OF_NOBODY, _RESIDENT.sub("000000-0000000", text))

    def token(self, text: str) -> str:
        """An access token with the same claims, signed anew; what is none of ours is replaced by nothing that opens anything."""
        if text in self._tokens or self.leave(text):
            return self._tokens.get(text, text)
        try:
            part = text.split(".")[1]
            claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
            made = self._sign(claims)
        except (ValueError, TypeError):
            made = self._random(text)
        self._tokens[text] = self._tokens[made] = made
        return made

    def replaced(self) -> list[tuple[str, str]]:
        """What must be nowhere any more, and what it is: addresses, passwords and tokens. Names are words, too."""
        found = [(was, "e-mail address") for was in self._known if _EMAIL.fullmatch(was)]
        found += [(was, "address") for was, now in self._known.items() if now == ADDRESS and was != ADDRESS]
        found += [(was, "place") for was in self._places]
        found += [(was, "password") for was in self.passwords]
        return [*found, *((was, "token") for was, now in self._tokens.items() if was != now)]

    def json(self, value: Any, where: str) -> Any:
        """Decoded JSON: fields by their name, all other strings as free text. `where` is for the counts."""
        if isinstance(value, dict):
            return {key: self._field(key, inner, where) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.json(inner, where) for inner in value]
        return self.value("text", value, where) if isinstance(value, str) else value

    def _field(self, name: str, value: Any, where: str) -> Any:
        kind = _kinds("fields").get(name) or (_kinds("request").get(name) if where.startswith("request") else None)
        if kind is None or isinstance(value, dict | list):
            return self.json(value, where)
        return self.value(kind, value, f"{where} {name}".strip())

    def query(self, text: str, where: str) -> str:
        """A query string."""
        pairs = parse_qsl(text, keep_blank_values=True)
        return urlencode([(name, self._field(name, value, where)) for name, value in pairs], quote_via=quote)

    def headers(self, headers: Iterable[tuple[str, str]], kept: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Those that are `kept`, with tokens signed anew."""
        found = []
        for name, value in headers:
            if name not in kept:
                self.counts["header", "header"] += 1
                continue
            made = _JWT.sub(lambda token: self.token(token[0]), value)
            if made != value:
                self.counts[f"header {name}", "token"] += 1
            found.append((name, made))
        return found
