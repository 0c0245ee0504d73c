"""The front door: one address before all services, as the load balancer's Ingress is in the cluster (`python -m
emulator.network.gateway`).

Streams both ways, keeps X-Request-Id and traceparent, says who asked (X-Forwarded-*), answers 503 for a service that
is away and serves public copies of images below /cdn, as CloudFront does. A service's /healthz, /readyz and /metrics
are not reachable.
"""

import asyncio
import contextlib
import json
import os
import re
import socket
import sys
from collections.abc import Iterable
from typing import Any

import msgspec
import uvicorn

from emulator.network.connection import Unanswered
from emulator.network.forward import Forwarder, Route
from emulator.network.merge import merge
from emulator.network.public_copies import PublicCopies
from emulator.network.refusals import Headers, Receive, Refused, Scope, Send, send_problem, send_whole
from emulator.network.upstream import Upstream
from emulator.recording.tap import Tap
from runtime import listening
from runtime.http import reference
from runtime.http.cors import Cors
from runtime.http.server import Server, configured
from shared import spans, supervision, trace

MAX_HEADERS = 64 * 1024
_DISCARDED = 64 * 1024 * 1024
# Seconds that a service has for its document.
_OPENAPI = 10.0


class Gateway:
    """An ASGI application."""

    def __init__(self, routes: Iterable[Route], environ: dict[str, str]) -> None:
        self.routes = list(routes)
        self.away: set[str] = set()
        # Functions that run as parts of their own, by method and path; they come before their services' prefixes.
        self.apart: list[tuple[str, re.Pattern[str], Route]] = []
        # Services whose newest code does not load; the old code answers, with a header that says so.
        self.errors: dict[str, bytes] = {}
        self.upstream = Upstream()
        self._orders: asyncio.StreamReader | None = None
        self.forwarder = Forwarder(self.upstream, self._reload_error)
        self.copies = PublicCopies(self.upstream, environ)
        self.cors = Cors(environ.get("CORS_ORIGINS", ""))
        self.tap = Tap()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError("only HTTP is served here")
        given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
        request_id = given if trace.REQUEST_ID.fullmatch(given) else os.urandom(16).hex().encode()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await self._request(scope, receive, send, request_id)

        await self.tap.watch(app, scope, receive, send, request_id)

    async def _request(self, scope: Scope, receive: Receive, send: Send, request_id: bytes) -> None:
        if self.cors.on and scope["path"].startswith("/api/"):
            # A service answers for itself; so does the gateway, in place of one that is away.
            send = self.cors.sending(scope["headers"], send)
            if (preflight := self.cors.preflight(scope["method"], scope["headers"])) is not None:
                await preflight(scope, receive, send)
                return
        try:
            _check(scope)
            await self._answer(scope, receive, send, request_id)
        except Refused as refusal:
            if refusal.status == 413:
                await _discard(receive)
            await send_problem(send, refusal, request_id)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, request_id: bytes) -> None:
        path: str = scope["path"]
        if (route := self._route(scope["method"], path)) is not None:
            known_away = route.service in self.away
            await self.forwarder.forward(route, scope, receive, send, request_id, known_away=known_away)
            return
        if path.startswith("/cdn/"):
            _only_read(scope)
            await self.copies.answer(path.removeprefix("/cdn/"), scope, send, request_id)
        elif path == "/docs" or path.startswith("/docs/"):
            _only_read(scope)
            found = reference.answer(path.removeprefix("/docs"), "", await self._openapi())
            if found is None:
                raise Refused(404, "not-found", "Not Found", "There is nothing here: the API reference is at /docs.")
            status, kind, body, headers = found
            more = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
            await send_whole(send, status, kind, body, [*more, (b"x-request-id", request_id)])
        elif path in ("/openapi.json", "/", "/_gateway"):
            _only_read(scope)
            status, kind, body = 200, b"application/json", b""
            more = [(b"x-request-id", request_id)]
            if path == "/openapi.json":
                body = msgspec.json.encode(await self._openapi())
            elif path == "/":
                body = msgspec.json.format(msgspec.json.encode(self._index()), indent=2)
            else:
                troubles = supervision.troubles()
                status, kind, body = (
                    503 if troubles else 200,
                    b"text/plain",
                    "\n".join(troubles or ["ready"]).encode() + b"\n",
                )
                # What a recording waits for: whether nobody is let in, who is on the way, and what is written.
                more += [
                    (b"x-eco2-held", b"1" if self.tap.held else b"0"),
                    (b"x-eco2-passing", str(self.tap.passing).encode()),
                    (b"x-eco2-recording", self.tap.recording.encode()),
                ]
            await send_whole(send, status, kind, body, more)
        else:
            raise Refused(
                404, "not-found", "Not Found", "There is nothing here. The services' prefixes are listed at /."
            )

    def _route(self, method: str, path: str) -> Route | None:
        for own, pattern, route in self.apart:
            if method == own and pattern.fullmatch(path):
                return route
        for route in self.routes:
            if path.startswith(route.prefix) and (len(path) == len(route.prefix) or path[len(route.prefix)] == "/"):
                return route
        return None

    def _index(self) -> dict[str, Any]:
        return {
            "name": "Eco²",
            "services": {route.service: route.prefix for route in self.routes if route.prefix.startswith("/api/")},
            "docs": "/docs",
            "openapi": "/openapi.json",
            "images": "/cdn/images/…",
        }

    def _reload_error(self, service: str) -> Headers:
        error = self.errors.get(service)
        return [(b"x-eco2-reload-error", error)] if error else []

    # The one OpenAPI document

    async def _openapi(self) -> dict[str, Any]:
        routes = [route for route in self.routes if route.prefix.startswith("/api/")]
        documents = await asyncio.gather(*(self._document(route) for route in routes))
        found = {route.service: document for route, document in zip(routes, documents, strict=True) if document}
        missing = [route.service for route in routes if route.service not in found]
        return merge(found, missing)

    async def _document(self, route: Route) -> dict[str, Any] | None:
        if route.service in self.away:
            return None
        try:
            async with asyncio.timeout(_OPENAPI):
                answer = await self.upstream.request("GET", f"{route.url}{route.prefix}/openapi.json")
        except (Unanswered, TimeoutError):
            return None
        document: dict[str, Any] = msgspec.json.decode(answer.content)
        return document if answer.status == 200 else None

    # Orders

    async def obey(self) -> None:
        """Hear from the supervisor, one JSON line at a time, which services are away for longer, and what is recorded."""
        if self._orders is None:  # once: this loop may be started again
            orders = self._orders = asyncio.StreamReader()
            loop = asyncio.get_running_loop()
            await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
        while line := await self._orders.readline():
            order = json.loads(line)
            self.away = set(order.get("away", ()))
            # The dashboard's is not a service's: it is there from the start, and stays.
            own = [route for route in self.routes if not route.prefix.startswith("/api/")]
            services = [Route(prefix, name, url) for prefix, name, url in order.get("services", ())]
            self.routes = [*services, *own] if services else self.routes
            self.errors = {name: _header_text(error) for name, error in order.get("errors", {}).items()}
            self.apart = [
                (method, re.compile(path), Route(path, part, url)) for method, path, part, url in order.get("apart", ())
            ]
            self.tap.order(order.get("record", ""), bool(order.get("hold")))


def _check(scope: Scope) -> None:
    """Refuse what no service should see."""
    hosts = sum(name == b"host" for name, _ in scope["headers"])
    if hosts > 1 or (hosts == 0 and scope["http_version"] == "1.1"):
        raise Refused(400, "bad-request", "Bad Request", "A request names its Host once (RFC 9112 §3.2).")
    if sum(len(name) + len(value) for name, value in scope["headers"]) > MAX_HEADERS:
        detail = f"A request's headers may have at most {MAX_HEADERS} bytes."
        raise Refused(431, "headers-too-large", "Request Header Fields Too Large", detail)


def _only_read(scope: Scope) -> None:
    if scope["method"] not in ("GET", "HEAD"):
        allow = [(b"allow", b"GET, HEAD")]
        raise Refused(405, "method-not-allowed", "Method Not Allowed", "Only GET and HEAD.", allow)


def _header_text(text: str) -> bytes:
    """In one line of ASCII, as a header must be."""
    return " ".join(text.split()).encode("ascii", "replace")[:500]


async def _discard(receive: Receive) -> None:
    """Read what the client still sends, within reason: to close a socket that holds unread bytes resets it, and the
    client would never see the answer.
    """
    left = _DISCARDED
    with contextlib.suppress(TimeoutError):
        while left > 0:
            message = await asyncio.wait_for(receive(), 1.0)
            if message["type"] == "http.disconnect" or not message.get("more_body"):
                return
            left -= len(message.get("body", b""))


def read_routes(text: str) -> list[Route]:
    """`/api/v1/auth=api-auth=http://127.0.0.1:1,...` into routes."""
    found = []
    for entry in text.split(","):
        prefix, service, url = entry.split("=", 2)
        found.append(Route(prefix, service, url))
    return found


class _Server(Server):
    def __init__(self, config: uvicorn.Config, gateway: Gateway) -> None:
        super().__init__(config)
        self.gateway = gateway

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening = supervision.task("orders", self.gateway.obey, once=True)


def main() -> None:
    spans.configure("gateway")
    gateway = Gateway(read_routes(os.environ["GATEWAY_ROUTES"]), dict(os.environ))
    config = configured(gateway, date_header=False, proxy_headers=False, lifespan="off", timeout_graceful_shutdown=2)
    _Server(config, gateway).run([listening.on("127.0.0.1", int(os.environ["PORT"]))])


if __name__ == "__main__":
    main()
