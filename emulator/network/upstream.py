"""Connections to the services, kept between requests: for each address the idle ones, and as many in use as there are requests.

httpcore's own pool looks at every connection for each request: with a thousand event streams open that is milliseconds each time,
and what waits meanwhile looks like a service that does not answer. How many may ask at once is decided at each service
(runtime.http.admission), not here.
"""

from collections import deque
from collections.abc import AsyncIterable, AsyncIterator

import httpcore

# Idle connections of one address; and the seconds that one is kept: less than a service does (runtime.http.patience), which would
# else end it under a request.
KEPT = 100
EXPIRY = 4.0

Idle = deque[httpcore.AsyncHTTPConnection]


class Upstream(httpcore.AsyncConnectionInterface):
    """Sends requests, each over a connection that no other is using."""

    def __init__(self) -> None:
        self._idle: dict[tuple[bytes, int], Idle] = {}

    @property
    def kept(self) -> int:
        """How many are idle."""
        return sum(map(len, self._idle.values()))

    async def aclose(self) -> None:
        """Close those that are idle."""
        for idle in self._idle.values():
            while idle:
                await idle.pop().aclose()

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        """The answer's head; its stream must be closed.

        Raises:
            httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException: as httpcore.
        """
        origin = request.url.origin
        idle = self._idle.setdefault((origin.host, origin.port), deque())
        while idle:
            connection = idle.pop()
            if not connection.has_expired():
                break
            await connection.aclose()
        else:
            connection = httpcore.AsyncHTTPConnection(origin, keepalive_expiry=EXPIRY)
        answer = await connection.handle_async_request(request)
        content = _Content(answer.stream, connection, idle)
        return httpcore.Response(answer.status, headers=answer.headers, content=content, extensions=answer.extensions)


class _Content:
    """An answer's content; at its end the connection is idle again, or closed."""

    def __init__(self, stream: object, connection: httpcore.AsyncHTTPConnection, idle: Idle) -> None:
        assert isinstance(stream, AsyncIterable)
        self._stream = stream
        self._connection = connection
        self._idle: Idle | None = idle

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._stream:
            yield piece

    async def aclose(self) -> None:
        idle, self._idle = self._idle, None
        if idle is None:
            return
        await self._stream.aclose()  # type: ignore[attr-defined] # httpcore's own have it
        if self._connection.is_idle():
            idle.append(self._connection)
        while idle and (len(idle) > KEPT or idle[0].has_expired()):
            await idle.popleft().aclose()
