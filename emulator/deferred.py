"""Applications that are made when someone first asks them something, in one process.

The dashboard, the letters and the sign-in pages each take 15 MB as Litestar applications, and on most days no one looks at
them; what they do beside (gathering spans, taking mail) begins at once.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, MutableMapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from runtime import listening
from runtime.http.server import Server, configured

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Deferred:
    """An ASGI application: its readiness, and at the first other request what `build` makes."""

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
        if scope.get("path") == self._ready:
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
            await send({"type": "http.response.body", "body": b"ready\n"})
        else:
            if self._building is None or (self._building.done() and self._building.exception()):
                self._building = asyncio.ensure_future(self._build(self._given))
            # Whoever asks first may go away meanwhile; those who ask next want it all the same.
            app = await asyncio.shield(self._building)
            await app(scope, receive, send)

    @contextlib.asynccontextmanager
    async def living(self) -> AsyncIterator[None]:
        """Its life, as long as the process'."""
        async with self._beside() as self._given:
            yield


def together(apps: Mapping[int, Deferred]) -> Callable[[Any, Any, Any], Coroutine[Any, Any, None]]:
    """One ASGI application, with its lifespan, that hands each request to the application of its port."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await apps[scope["server"][1]](scope, receive, send)
            return
        await receive()
        async with contextlib.AsyncExitStack() as until_the_end:
            for app in apps.values():
                await until_the_end.enter_async_context(app.living())
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})

    return answer


def serve(apps: Mapping[int, Deferred]) -> None:
    """Serve each application on its port of this machine until SIGTERM or SIGINT."""
    config = configured(together(apps), http="httptools", lifespan="on", timeout_graceful_shutdown=1)
    Server(config).run([listening.on("127.0.0.1", port) for port in apps])
