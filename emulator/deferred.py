"""An application that is made when someone first asks it something.

The dashboard, the letters and the sign-in pages each take 15 MB as Litestar applications, and on most days no one looks at
them; what they do beside (gathering spans, taking mail) begins at once.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import AbstractAsyncContextManager
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Deferred:
    """The ASGI application of one process: its lifespan, its readiness, and at the first other request what `build` makes."""

    def __init__(
        self,
        ready: str,
        beside: Callable[[], AbstractAsyncContextManager[Any]],
        build: Callable[[Any], Awaitable[Any]],
    ) -> None:
        """`beside` runs as long as the process and gives what `build` takes; `ready` is the path that says it has begun."""
        self._ready = ready
        self._beside = beside
        self._build = build
        self._given: Any = None
        self._building: asyncio.Task[Any] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope.get("path") == self._ready:
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
            await send({"type": "http.response.body", "body": b"ready\n"})
        else:
            if self._building is None or (self._building.done() and self._building.exception()):
                self._building = asyncio.ensure_future(self._build(self._given))
            # Whoever asks first may go away meanwhile; those who ask next want it all the same.
            app = await asyncio.shield(self._building)
            await app(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        async with self._beside() as self._given:
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})
