"""A worker's and a syncer's small HTTP port: /healthz, /readyz, /metrics. Nothing of it is for clients."""

import contextlib
import socket
import sys
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec

from runtime import listening, telemetry
from shared import supervision

# What is wrong, one sentence each; `alive` False asks for a restart, `ready` False says that it can't work just now.
Look = Callable[[], dict[str, Any]]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def server_bind(self) -> None:
        self.socket.close()
        self.socket = listening.on(*self.server_address)
        self.server_address = self.socket.getsockname()

    def server_activate(self) -> None:
        """It listens already."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who asked may have gone meanwhile: a probe waits in the socket while the process starts."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class HealthServer:
    """Answers on its own thread. `look` gives the body: `{"alive": bool, "ready": bool, "reasons": [...], ...}`."""

    def __init__(self, host: str, port: int, look: Look) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                if path == "/metrics":
                    self._answer(200, "text/plain; version=0.0.4; charset=utf-8", telemetry.exposition())
                elif path in ("/healthz", "/readyz"):
                    body = look()
                    body = body | {"reasons": body["reasons"] + supervision.troubles(), "loops": supervision.states()}
                    good = body["alive"] if path == "/healthz" else body["alive"] and body["ready"]
                    self._answer(200 if good else 503, "application/json", msgspec.json.encode(body))
                else:
                    self._answer(404, "text/plain", b"not found\n")

            def _answer(self, status: int, kind: str, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
                pass

        self._server = _Server((host, port), Handler)
        self.port = self._server.server_address[1]
        self._address = (host, self.port)
        self._closing = False
        self._loop = supervision.thread("health", self._serve)

    def _serve(self) -> None:
        # Not serve_forever, which wakes twice a second to look whether it is to end.
        while not self._closing:
            self._server.handle_request()

    def close(self) -> None:
        self._closing = True
        self._loop.stopping()
        with contextlib.suppress(OSError), socket.create_connection(self._address, timeout=1):
            pass  # a last request that wakes it
        self._loop.stop()
        self._server.server_close()
