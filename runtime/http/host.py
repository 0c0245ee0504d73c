"""The process that serves services' HTTP functions: `python -m runtime.http.host SERVICE[/FUNCTION] ...`."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import runtime.http.lean  # noqa: F401 - before whatever imports Litestar or uvicorn
from runtime import listening, telemetry
from runtime.http.edge import Edge
from runtime.http.hosted import Hosted, read_settings
from runtime.http.server import Server, configured
from runtime.loader import LoadError
from runtime.services import ServiceError, find, seconds
from shared import spans
from shared.identity import KeySetError
from shared.settings import Settings, SettingsError

if TYPE_CHECKING:
    import socket

    import uvicorn

# Seconds that a stop waits for answers under way before it ends them.
_DRAIN = 5.0


def build(
    targets: Sequence[str], environ: Mapping[str, str], *, background: bool = True, access_log: bool = True
) -> tuple[Edge, Settings]:
    """The application for `SERVICE` or `SERVICE/FUNCTION` targets, and the settings that say where to listen.

    Raises:
        ServiceError, LoadError, SettingsError, KeySetError: each with one line for a person.
    """
    hosted = []
    for target in targets:
        name, _, only = target.partition("/")
        service = find(name)
        if service.is_worker:
            raise ServiceError(f"{service.name} has no HTTP functions: eco2 work {service.folder}")
        settings = read_settings(service, environ)
        hosted.append(Hosted(service, settings, only=only or None, background=background))
    first = hosted[0].settings
    name = hosted[0].service.name if len(hosted) == 1 else "api"
    return Edge(hosted, telemetry.AccessLog(name, first.log_format, enabled=access_log)), first


def run(targets: Sequence[str]) -> int:
    """Serve until SIGTERM or SIGINT; the exit code says 2 for a wrong setting or target."""
    # Nothing of what is imported at start is garbage: collecting meanwhile costs a fifth of the start.
    gc.disable()
    try:
        edge, settings = build(targets, os.environ)
    except (ServiceError, LoadError, SettingsError, KeySetError) as error:
        print(f"eco2 serve: {error}", file=sys.stderr)
        return 2
    gc.freeze()
    gc.enable()
    name = targets[0] if len(targets) == 1 else "api"
    telemetry.configure(name, settings.log_format, settings.log_level)
    spans.configure(name)
    grace = min(seconds(find(t.partition("/")[0]).run.grace) for t in targets)
    config = configured(
        edge,
        host=settings.host,
        port=settings.port,
        lifespan="on",
        timeout_graceful_shutdown=int(min(grace, _DRAIN)),
    )
    server = _Server(config, edge)
    # The emulator keeps the listening socket itself: connections wait in it while the service starts anew.
    inherited = listening.given(settings.port)
    try:
        server.run([inherited] if inherited else None)
    except OSError as error:
        print(f"eco2 serve: can't listen on {settings.host}:{settings.port}: {error.strerror}", file=sys.stderr)
        return 1
    return 0 if server.started else 1


class _Server(Server):
    """Tells the edge that a stop has begun before it waits for the answers under way."""

    def __init__(self, config: uvicorn.Config, edge: Edge) -> None:
        super().__init__(config)
        self._edge = edge

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._edge.drain()
        await super().shutdown(sockets)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
