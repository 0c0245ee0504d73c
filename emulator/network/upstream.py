"""Connections to the services, kept between requests: for each address the idle ones, and as many in use as there are requests.

How many may ask at once is decided at each service (runtime.http.admission), not here.
"""

import asyncio
import re
import time
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from msgspec import Struct

from emulator.network.connection import PATIENCE, Connection, Unanswered
from emulator.network.refusals import Headers

# Idle connections of one address; and the seconds that one is kept: less than a service does (runtime.http.patience), which would
# else end it under a request.
KEPT = 100
EXPIRY = 4.0
# What a header's value may not hold (RFC 9110 §5.5).
_NO_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")

Idle = deque[tuple[float, Connection]]  # with when it began to be idle


class Whole(Struct):
    """An answer with all of its content."""

    status: int
    headers: Headers
    content: bytes


class Upstream:
    """Sends requests, each over a connection that no other is using."""

    def __init__(self) -> None:
        self._idle: dict[tuple[str, int], Idle] = {}

    @property
    def kept(self) -> int:
        """How many are idle."""
        return sum(connection.free for idle in self._idle.values() for _, connection in idle)

    def close(self) -> None:
        """Close those that are idle."""
        for idle in self._idle.values():
            while idle:
                idle.pop()[1].close()

    @asynccontextmanager
    async def connection(self, host: str, port: int) -> AsyncIterator[Connection]:
        """One for a request, given back afterwards.

        Raises:
            Unanswered: no one listens there.
        """
        idle = self._idle.setdefault((host, port), deque())
        connection = _last(idle) or await _new(host, port)
        try:
            yield connection
        finally:
            connection.end()
            now = time.monotonic()
            if connection.free:
                idle.append((now, connection))
            while idle and (len(idle) > KEPT or idle[0][0] < now - EXPIRY):
                idle.popleft()[1].close()

    async def request(self, method: str, url: str, headers: Iterable[tuple[bytes, bytes]] = ()) -> Whole:
        """The whole answer to a request without content.

        Raises:
            Unanswered: there is none.
        """
        parts = urlsplit(url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        given = [*headers]
        if not any(name == b"host" for name, _ in given):
            given.append((b"host", parts.netloc.encode()))
        async with self.connection(parts.hostname or "", parts.port or 80) as connection:
            connection.ask(method.encode(), head_of(method.encode(), target.encode(), given))
            await connection.head()
            content = b"".join([piece async for piece in connection.pieces()])
            return Whole(connection.status, connection.headers, content)


def _last(idle: Idle) -> Connection | None:
    """The one that was used last, of those that are still good."""
    oldest = time.monotonic() - EXPIRY
    while idle:
        since, connection = idle.pop()
        if connection.free and since >= oldest:
            return connection
        connection.close()
    return None


async def _new(host: str, port: int) -> Connection:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(PATIENCE):
            _, connection = await loop.create_connection(Connection, host, port)
    except OSError as error:  # a TimeoutError is one
        raise Unanswered(f"no connection: {error}") from None
    return connection


def head_of(method: bytes, target: bytes, headers: Headers) -> bytes:
    """A request's head as it is sent.

    Raises:
        ValueError: a value holds what would end it.
    """
    if _NO_VALUE.search(b"".join([value for _, value in headers])):
        raise ValueError("a header's value holds a control character")
    lines = b"".join([b"%b: %b\r\n" % header for header in headers])
    return b"%b %b HTTP/1.1\r\n%b\r\n" % (method, target, lines)
