"""Where a request ends and the next begins (RFC 9112), read strictly: what two readers could read differently is refused.

httptools parses; what it is lenient about (extensions of chunks, codings beside "chunked", versions that are none) is
looked at here before it gets to see it.
"""

from __future__ import annotations

import re
from urllib.parse import quote

from shared.errors import BadInput, HeadTooLarge, LineTooLong, NotImplementedHere, Problem, VersionNotSupported

# Bytes of a request's first line, and of that with its headers.
MAX_LINE = 8 * 1024
MAX_HEAD = 32 * 1024

_VERSIONS = (b" HTTP/1.1", b" HTTP/1.0")
_SIZE = re.compile(rb"[0-9A-Fa-f]{1,8}\r\n")
# The characters of a name or an address, and a port (RFC 3986 §3.2); none where the address that is asked for has none.
_HOST = re.compile(rb"[0-9A-Za-z!$&'()*+,;=._~:@%\[\]-]*")
# What a client may name in Connection (RFC 9110 §7.6.1): it concerns this connection alone. A proxy would drop the header of
# any other name, so whoever sits behind one would see another request than we do.
_OF_THE_CONNECTION = {b"", b"close", b"keep-alive", b"upgrade", b"te", b"http2-settings", b"proxy-connection"}
# Headers of which one alone has a meaning.
_ONCE = {b"host", b"content-type", b"content-length", b"transfer-encoding", b"authorization", b"content-encoding"}

_NO_REQUEST = "does not begin with a method, an address and a version"


def head_end(data: bytes) -> int:
    """The length of the head at the beginning of `data`; 0 while it is not whole.

    Raises:
        LineTooLong, HeadTooLarge: it has grown too large.
        BadInput: it has a line feed of its own, which some read as the end of a line and some do not, or is not HTTP: whoever
            speaks another protocol here would wait for an answer in it until our patience ends.
        VersionNotSupported: it is neither HTTP/1.0 nor HTTP/1.1.
    """
    if data[:1] == b"\x16":
        raise BadInput("request", "begins as TLS does, which is not spoken here: ask http://, not https://")
    end = data.find(b"\r\n\r\n")
    head = data[: end + 4] if end >= 0 else data
    line = head.find(b"\r\n")
    if (line if line >= 0 else len(head)) > MAX_LINE:
        raise LineTooLong
    if len(head) > MAX_HEAD:
        raise HeadTooLarge
    if head.count(b"\n") != head.count(b"\r\n"):
        raise BadInput("request", "has a line that ends with a line feed alone")
    if line >= 0:
        _check_version(head[:line])
    elif head[:1] and not head[:1].isalpha() and head[:1] != b"\r":
        raise BadInput("request", _NO_REQUEST)
    return end + 4 if end >= 0 else 0


def _check_version(line: bytes) -> None:
    if not line.endswith(_VERSIONS):
        if b" HTTP/" in line or line.count(b" ") == 1:
            raise VersionNotSupported
        raise BadInput("request", _NO_REQUEST)


def readable(head: bytes) -> bytes:
    """The head with what is not ASCII in its address percent-encoded, as browsers do it.

    Raises:
        BadInput: the address is not UTF-8.
    """
    end = head.find(b"\r\n")
    line = head[:end]
    if line.isascii():
        return head
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        message = "holds bytes that are not UTF-8: percent-encode it, such as %ED%8E%98 for 페"
        raise BadInput("address", message) from None
    return quote(line, safe=bytes(range(0x80))).encode() + head[end:]


def check(version: str, headers: list[tuple[bytes, bytes]]) -> int:
    """How many bytes of body follow a head; -1 for chunks.

    Raises:
        Problem: its headers can be read in more than one way.
    """
    given = dict(headers)
    if len(given) < len(headers):
        names = [name for name, _ in headers]
        for name in _ONCE.intersection(names):
            if names.count(name) > 1:
                raise BadInput(name.decode(), "is there more than once")
    if version == "1.1" and b"host" not in given:
        raise BadInput("host", "is required")
    if not _HOST.fullmatch(given.get(b"host", b"")):
        raise BadInput("host", "holds a character that no name or address has")
    if b"connection" in given:
        for name, value in headers:
            if name == b"connection":
                _check_connection(value, given)
    coding = given.get(b"transfer-encoding")
    if coding is not None:
        if version == "1.0" or b"content-length" in given:
            raise BadInput("transfer-encoding", "can't be there with HTTP/1.0 or with content-length")
        if coding.lower() != b"chunked":
            raise NotImplementedHere
        return -1
    length = given.get(b"content-length", b"0")
    if not length.isdigit() or len(length) > 15:
        raise BadInput("content-length", "is not a number of bytes")
    return int(length)


def _check_connection(value: bytes, given: dict[bytes, bytes]) -> None:
    for token in value.lower().split(b","):
        name = token.strip(b" \t")
        if name not in _OF_THE_CONNECTION and name in given:
            raise BadInput("connection", "names a header that is not the connection's own")


class Chunks:
    """Walks over a body in chunks: sizes in hexadecimal digits and nothing else, no trailers."""

    def __init__(self) -> None:
        self.done = False
        self._left = 0
        self._line = b""
        self._last = False

    def take(self, data: bytes) -> int:
        """How many of these bytes belong to the body.

        Raises:
            BadInput: a chunk has an extension, or the body a trailer.
        """
        at = 0
        while at < len(data) and not self.done:
            if self._left:
                step = min(self._left, len(data) - at)
                self._left -= step
                at += step
                continue
            end = data.find(b"\n", at, at + 12)
            piece = data[at : end + 1] if end >= 0 else data[at : at + 12]
            self._line += piece
            at += len(piece)
            if end >= 0:
                self._next()
            elif len(self._line) > 10:
                raise _unreadable()
        return at

    def _next(self) -> None:
        line, self._line = self._line, b""
        if self._last:
            if line != b"\r\n":
                raise _unreadable()
            self.done = True
        elif not _SIZE.fullmatch(line):
            raise _unreadable()
        elif size := int(line, 16):
            self._left = size + 2
        else:
            self._last = True


def _unreadable() -> Problem:
    return BadInput("transfer-encoding", "has a chunk with an extension, a trailer, or a size that is none")
