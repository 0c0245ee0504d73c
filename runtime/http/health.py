"""/healthz, /readyz and /metrics of a host: for whoever keeps the process, out of the reach of the gateway's prefixes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from runtime.telemetry import exposition
from shared import supervision
from shared.answers import Whole

if TYPE_CHECKING:
    from litestar.types import ASGIApp, Receive, Scope, Send

    from runtime.http.hosted import Hosted

PATHS = frozenset({"/healthz", "/readyz", "/metrics"})
_TEXT = b"text/plain; version=0.0.4; charset=utf-8"


class Health:
    """What the hosted services can do just now."""

    def __init__(self, hosted: Sequence[Hosted]) -> None:
        self._hosted = hosted
        self.draining = False

    def probe(self, path: str) -> ASGIApp:
        """The application behind one of `PATHS`."""

        async def reply(scope: Scope, receive: Receive, send: Send) -> None:
            if path == "/healthz":
                status, body, kind = 200, b'{"status":"alive"}', b"application/json"
            elif path == "/readyz":
                (status, body), kind = await self.readiness(), b"application/json"
            else:
                status, body, kind = 200, await asyncio.to_thread(exposition), _TEXT
            await Whole(status, body, kind)(scope, receive, send)

        return reply

    async def readiness(self) -> tuple[int, bytes]:
        """503 only without a service's own database: one broken Redis must not empty every load balancer."""
        found = await asyncio.gather(*(hosted.answering() for hosted in self._hosted))
        parts = {name: state for states in found for name, state in states.items()}
        ready = not self.draining and all(states["database"] == "up" for states in found)
        word = "ready" if ready else "stopping" if self.draining else "not ready"
        return 200 if ready else 503, msgspec.json.encode(
            {"status": word, "parts": parts, "reasons": supervision.troubles(), "loops": supervision.states()}
        )
