"""What the dashboard shows of a request's and an answer's body: the beginning, with everything that opens something masked."""

import re
from typing import Any

import msgspec

# Bytes kept of a body while it passes; characters shown of it.
KEPT = 16_384
SHOWN = 4_000
MASK = "…"
# A field whose value opens something, by its name, whatever the case and the signs between its words.
_SECRET = re.compile(
    r"passw|token|secret|ticket|signature|policy|credential|authorization|verifier|session"
    r"|^(?:code|otp|jwt|key|state|nonce)$",
    re.I,
)
# The same in text that is not whole, or is several documents: `"name": value`, the value perhaps cut off.
_PAIR = re.compile(r'"((?:[^"\\]|\\.)*)"(\s*:\s*)("(?:[^"\\]|\\.)*(?:"|\\?$)|[^\s,}\]"]+)')
_OPENED = re.compile(r'"((?:[^"\\]|\\.)*)"\s*:\s*[\[{]')
# A token by its form, wherever it is: JWTs, and what a signed address carries.
_TOKEN = re.compile(
    r"\beyJ[\w-]+\.[\w-]+\.[\w-]*"
    r"|(?<=[?&])((?:X-Amz-)?(?:Signature|Credential|ticket|token|code|key)=)[^&\s\"]+",
    re.I,
)


class Kept:
    """The beginning of a body as it passes."""

    def __init__(self) -> None:
        self._data = bytearray()
        self.size = 0

    def add(self, piece: bytes) -> None:
        self.size += len(piece)
        if len(self._data) < KEPT:
            self._data += piece[: KEPT - len(self._data)]

    def shown(self, content_type: str) -> str | None:
        """For a person to read; None where there was no body."""
        if not self.size:
            return None
        kind = content_type.partition(";")[0].strip().lower()
        if not (kind.endswith(("json", "/problem+json")) or kind.startswith("text/")):
            return f"({self.size} bytes of {kind or 'unknown type'})"
        text = masked(bytes(self._data), whole=self.size == len(self._data))
        return text if len(text) <= SHOWN else f"{text[:SHOWN]} … ({self.size} bytes)"


def masked(data: bytes, *, whole: bool = True) -> str:
    """A body as text, without what opens something."""
    if whole:
        try:
            return _TOKEN.sub(_unsigned, msgspec.json.encode(_without(msgspec.json.decode(data))).decode())
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass
    text = data.decode(errors="replace")
    for opened in _OPENED.finditer(text):
        if is_secret(_name(opened[1])):  # where it ends can't be told in text that is not whole
            text = f'{text[: opened.start()]}"{opened[1]}": "{MASK}"'
            break
    return _TOKEN.sub(_unsigned, _PAIR.sub(_pair, text))


def _without(node: Any, secret: bool = False) -> Any:
    if isinstance(node, dict):
        # A 500's traceback is told by its log line; twice would be once too often.
        kept = {name: value for name, value in node.items() if name != "traceback"}
        return {name: _without(value, secret or is_secret(name)) for name, value in kept.items()}
    if isinstance(node, list):
        return [_without(value, secret) for value in node]
    return MASK if secret and node is not None else node


def is_secret(name: str) -> bool:
    """Whether a field of this name holds what opens something."""
    return _SECRET.search(name) is not None


def _pair(found: re.Match[str]) -> str:
    return f'"{found[1]}"{found[2]}"{MASK}"' if is_secret(_name(found[1])) else found[0]


def _name(written: str) -> str:
    """A field's name, which may be written with escapes; what can't be read counts as secret."""
    try:
        return msgspec.json.decode(f'"{written}"', type=str)
    except msgspec.DecodeError:
        return "token"


def _unsigned(found: re.Match[str]) -> str:
    return f"{found[1] or ''}{MASK}"
