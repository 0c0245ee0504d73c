"""uvicorn's server, asleep while nothing happens: its own wakes ten times a second to look whether it was told to stop."""

from __future__ import annotations

import asyncio
import resource
from email.utils import formatdate
from types import FrameType
from typing import Any

import uvicorn.server
from uvicorn.server import ServerState

from runtime.http.patience import Patience
from runtime.http.protocol import ProblemProtocol
from shared import clock

Headers = list[tuple[bytes, bytes]]

# Connections that wait until they are taken: after a reload or a rollout all of a busy minute come in one second. The system
# allows so many at the most (net.core.somaxconn); who finds no room there tries again by TCP's clock, a second or three later.
BACKLOG = 4096


def configured(app: Any, *, http: Any = ProblemProtocol, **own: Any) -> uvicorn.Config:
    """The configuration that all our servers share, with what is one's `own`.

    How many connections there are is limited by the system's files alone: an open one costs 10 kB, and how many requests are
    answered at once is decided request by request (runtime.http.admission).
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        http=http,
        loop="uvloop",
        ws="none",
        backlog=BACKLOG,
        **own,
    )


class _State(ServerState):
    """Makes the Date header when an answer needs one, where uvicorn makes it each second; and has the server's patience."""

    def __init__(self, config: uvicorn.Config) -> None:
        self._config = config
        self.patience = Patience()
        self._second = 0
        self._headers: Headers = []
        super().__init__()

    @property
    def default_headers(self) -> Headers:
        now = int(clock.time())
        if now != self._second:
            self._second = now
            date: Headers = [(b"date", formatdate(now, usegmt=True).encode())] if self._config.date_header else []
            self._headers = date + self._config.encoded_headers
        return self._headers

    @default_headers.setter
    def default_headers(self, headers: Headers) -> None:
        """uvicorn's own, which are empty at the start."""


class Server(uvicorn.server.Server):
    """Ends on SIGTERM and SIGINT. What else uvicorn looks at in its turns (a limit of requests, a callback) is not offered."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.server_state = _State(config)
        self._told = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._told.set)

    async def main_loop(self) -> None:
        self._loop = asyncio.get_running_loop()
        if not self.should_exit:  # told before there was a loop
            await self._told.wait()
