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
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlsplit

import httpcore
import msgspec
import uvicorn

from emulator.network.merge import merge
from emulator.servers.sigv4 import sign_headers
from runtime.http.protocol import ProblemProtocol
from runtime.http.server import Server
from shared import clock, spans, trace

# Towards services; everything large goes to the object store directly.
MAX_BODY = 1024 * 1024
# A service that takes so long to begin its answer is away. Event streams begin at once.
PATIENCE = 60.0
CONNECT = 2.0
# Seconds that a client may let pass between two pieces of a body that it has announced.
SLOW = 30.0
MAX_HEADERS = 64 * 1024
_HOP = {b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization"}
_HOP |= {b"te", b"trailer", b"transfer-encoding", b"upgrade"}
_NOT_OURS = _HOP | {b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-request-id"}
# What a public copy's answer may carry from the store to the browser.
_DISCARDED = 64 * 1024 * 1024
_CDN_HEADERS = {b"content-type", b"content-length", b"content-range", b"accept-ranges"}
_CDN_HEADERS |= {b"etag", b"last-modified", b"cache-control"}
_IMMUTABLE = b"public, max-age=31536000, immutable"

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]


class Refused(Exception):
    """An answer of the gateway's own, as a problem document."""

    def __init__(
        self, status: int, kind: str, title: str, detail: str, headers: Iterable[tuple[bytes, bytes]] = ()
    ) -> None:
        super().__init__(detail)
        self.status, self.kind, self.title, self.detail, self.headers = status, kind, title, detail, list(headers)


class Route(msgspec.Struct, frozen=True):
    """Which service answers below a prefix."""

    prefix: str
    service: str
    url: str


class Gateway:
    """An ASGI application."""

    def __init__(self, routes: Iterable[Route], environ: dict[str, str]) -> None:
        self.routes = list(routes)
        self.environ = environ
        self.away: set[str] = set()
        # Services whose newest code does not load; the old code answers, with a header that says so.
        self.errors: dict[str, bytes] = {}
        self.store = urlsplit(environ["S3_ENDPOINT_URL"])
        # Idle connections go before a service's own limit (uvicorn: 5 s) ends them under a request.
        self.pool = httpcore.AsyncConnectionPool(
            max_connections=None, max_keepalive_connections=100, keepalive_expiry=4.0
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError("only HTTP is served here")
        given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
        request_id = given if trace.REQUEST_ID.fullmatch(given) else os.urandom(16).hex().encode()
        try:
            _check(scope)
            await self._answer(scope, receive, send, request_id)
        except Refused as refusal:
            if refusal.status == 413:
                await _discard(receive)
            await _send_problem(send, refusal, request_id)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, request_id: bytes) -> None:
        path: str = scope["path"]
        for route in self.routes:
            if path.startswith(route.prefix) and (len(path) == len(route.prefix) or path[len(route.prefix)] == "/"):
                if route.service in self.away:
                    raise _away(route.service)
                await self._forward(route, scope, receive, send, request_id)
                return
        if path.startswith("/cdn/"):
            _only_read(scope)
            await self._public_copy(path.removeprefix("/cdn/"), scope, send, request_id)
        elif path in ("/openapi.json", "/", "/_gateway"):
            _only_read(scope)
            kind, body = b"application/json", b""
            if path == "/openapi.json":
                body = msgspec.json.encode(await self._openapi())
            elif path == "/":
                body = msgspec.json.format(msgspec.json.encode(self._index()), indent=2)
            else:
                kind, body = b"text/plain", b"ready\n"
            await _send(send, 200, kind, body, [(b"x-request-id", request_id)])
        else:
            raise Refused(
                404, "not-found", "Not Found", "There is nothing here. The services' prefixes are listed at /."
            )

    def _index(self) -> dict[str, Any]:
        return {
            "name": "Eco²",
            "services": {route.service: route.prefix for route in self.routes if route.prefix.startswith("/api/")},
            "openapi": "/openapi.json",
            "images": "/cdn/images/…",
        }

    # Services

    async def _forward(self, route: Route, scope: Scope, receive: Receive, send: Send, request_id: bytes) -> None:
        target = urlsplit(route.url)
        path = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
        url = httpcore.URL(scheme=b"http", host=target.hostname or "", port=target.port, target=path)
        body = _Body(scope, receive)
        timeouts = {"connect": CONNECT, "read": PATIENCE, "write": PATIENCE, "pool": None}
        headers = _forwarded(scope, request_id)
        if spans.on() and route.service != "dashboard":  # which would show its own looking
            send = _Spanned(route, scope, headers, send)
        request = httpcore.Request(
            scope["method"],
            url,
            headers=headers,
            content=body.stream() if body.comes else None,
            extensions={"timeout": timeouts},
        )
        started = False
        try:
            answer = await self._first_byte(request, body)
            try:
                kept = [(name.lower(), value) for name, value in answer.headers if name.lower() not in _HOP]
                if route.service in self.errors:
                    kept.append((b"x-eco2-reload-error", self.errors[route.service]))
                await send({"type": "http.response.start", "status": answer.status, "headers": kept})
                started = True
                await self._stream(answer, receive, send, body)
            finally:
                await answer.aclose()
        except httpcore.LocalProtocolError as error:
            if started:
                raise
            raise Refused(400, "bad-request", "Bad Request", f"The request can't be handed on: {error}.") from None
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException):
            if started:
                raise  # uvicorn closes the connection: the client sees that the answer is not whole
            raise _away(route.service) from None

    async def _first_byte(self, request: httpcore.Request, body: "_Body") -> httpcore.Response:
        try:
            return await self.pool.handle_async_request(request)
        except (httpcore.ReadError, httpcore.RemoteProtocolError, httpcore.WriteError):
            # A kept connection that the service ended while it was idle, as at its reload. What has no body may go
            # again.
            if body.comes or request.method not in (b"GET", b"HEAD", b"OPTIONS"):
                raise
            return await self.pool.handle_async_request(request)

    async def _stream(self, answer: httpcore.Response, receive: Receive, send: Send, body: "_Body") -> None:
        """Hand on the answer piece by piece; let go of the service when the client has gone."""

        async def pieces() -> None:
            async for piece in answer.aiter_stream():
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})

        handing = asyncio.create_task(pieces())
        leaving = asyncio.create_task(body.until_gone(receive))
        try:
            await asyncio.wait((handing, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            if not handing.done():
                handing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await handing

    # Public copies

    async def _public_copy(self, key: str, scope: Scope, send: Send, request_id: bytes) -> None:
        missing = Refused(404, "not-found", "Not Found", "There is no public copy here.")
        if not key.startswith("images/") or ".." in key.split("/"):
            raise missing
        path = f"/{self.environ['S3_BUCKET']}/{quote(key)}"
        signed = sign_headers(
            scope["method"],
            self.store.netloc,
            path,
            self.environ["AWS_ACCESS_KEY_ID"],
            self.environ["AWS_SECRET_ACCESS_KEY"],
            self.environ["AWS_REGION"],
            datetime.now(UTC),
        )
        headers = [(name.encode(), value.encode()) for name, value in signed.items()]
        headers += [(name, value) for name, value in scope["headers"] if name in (b"if-none-match", b"range")]
        timeouts = {"connect": CONNECT, "read": CONNECT, "write": CONNECT, "pool": None}
        url = httpcore.URL(scheme=self.store.scheme, host=self.store.hostname or "", port=self.store.port, target=path)
        try:
            answer = await self.pool.request(scope["method"], url, headers=headers, extensions={"timeout": timeouts})
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException):
            raise _away("the object store") from None
        if answer.status in (403, 404):
            raise missing
        if answer.status not in (200, 206, 304, 416):
            raise _away("the object store")
        kept = [(name.lower(), value) for name, value in answer.headers if name.lower() in _CDN_HEADERS]
        if not any(name == b"cache-control" for name, _ in kept):
            kept.append((b"cache-control", _IMMUTABLE))
        # A copy is what the system made of a photograph; still nobody should take it for a page.
        kept += [(b"x-content-type-options", b"nosniff"), (b"access-control-allow-origin", b"*")]
        kept.append((b"x-request-id", request_id))
        await send({"type": "http.response.start", "status": answer.status, "headers": kept})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else answer.content})

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
        timeouts = {"connect": CONNECT, "read": 10.0, "write": CONNECT, "pool": None}
        try:
            answer = await self.pool.request(
                "GET", f"{route.url}{route.prefix}/openapi.json", extensions={"timeout": timeouts}
            )
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException):
            return None
        document: dict[str, Any] = msgspec.json.decode(answer.content)
        return document if answer.status == 200 else None

    # Orders

    async def obey(self) -> None:
        """Hear from the supervisor, one JSON line at a time, which services are away for longer."""
        orders = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
        while line := await orders.readline():
            order = json.loads(line)
            self.away = set(order.get("away", ()))
            self.errors = {name: _header_text(error) for name, error in order.get("errors", {}).items()}


class _Body:
    """A request's body, counted as it passes."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.receive = receive
        length = next((value for name, value in scope["headers"] if name == b"content-length"), None)
        chunked = any(name == b"transfer-encoding" for name, _ in scope["headers"])
        self.comes = chunked or (length is not None and length != b"0")
        self.read = not self.comes
        if length is not None and length.isdigit() and int(length) > MAX_BODY:
            raise _too_large()

    async def stream(self) -> AsyncIterator[bytes]:
        size = 0
        while True:
            try:
                async with asyncio.timeout(SLOW):
                    message = await self.receive()
            except TimeoutError:
                raise _too_slow() from None
            if message["type"] == "http.disconnect":
                raise httpcore.WriteError("the client has gone")
            size += len(message.get("body", b""))
            if size > MAX_BODY:
                raise _too_large()
            if message.get("body"):
                yield message["body"]
            if not message.get("more_body"):
                self.read = True
                return

    async def until_gone(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass


class _Spanned:
    """Sends an answer on, and tells the dashboard of the gateway's own span when it is whole."""

    def __init__(self, route: Route, scope: Scope, headers: Headers, send: Send) -> None:
        incoming = next((value for name, value in headers if name == b"traceparent"), b"").decode("latin-1")
        self.route, self.scope, self.send, self.parent = route, scope, send, incoming
        self.traceparent = trace.enter(incoming)
        headers[:] = [header for header in headers if header[0] != b"traceparent"]
        headers.append((b"traceparent", self.traceparent.encode()))
        self.started, self.at, self.status = time.perf_counter(), clock.time(), 0

    async def __call__(self, message: dict[str, Any]) -> None:
        await self.send(message)
        if message["type"] == "http.response.start":
            self.status = message["status"]
        elif not message.get("more_body"):
            spans.send(
                f"{self.scope['method']} → {self.route.service}",
                "gateway",
                traceparent=self.traceparent,
                parent=self.parent,
                started=self.at,
                seconds=time.perf_counter() - self.started,
                status=self.status,
            )


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


def _forwarded(scope: Scope, request_id: bytes) -> Headers:
    given = {name: value for name, value in scope["headers"] if name in _NOT_OURS}
    client = (scope["client"] or ("127.0.0.1", 0))[0].encode()
    before = given.get(b"x-forwarded-for")
    # Blanks around a value are not part of it (RFC 9110 §5.5); the parser of requests leaves them, that of ours refuses.
    headers: Headers = [(name, value.strip(b" \t")) for name, value in scope["headers"] if name not in _NOT_OURS]
    host = next((value for name, value in headers if name == b"host"), None)
    if host is None:  # HTTP/1.0
        host = b"localhost"
        headers.append((b"host", host))
    headers.append((b"x-forwarded-for", before + b", " + client if before else client))
    headers += [
        (b"x-forwarded-proto", scope["scheme"].encode()),
        (b"x-forwarded-host", host),
        (b"x-request-id", request_id),
    ]
    if b"transfer-encoding" in given:
        headers.append((b"transfer-encoding", b"chunked"))
    return headers


def _header_text(text: str) -> bytes:
    """In one line of ASCII, as a header must be."""
    return " ".join(text.split()).encode("ascii", "replace")[:500]


def _away(service: str) -> Refused:
    detail = f"{service} does not answer. Try again in a moment."
    return Refused(503, "unavailable", "Service Unavailable", detail, [(b"retry-after", b"2")])


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


def _too_large() -> Refused:
    detail = f"A request's body may have at most {MAX_BODY} bytes; files go to the object store."
    return Refused(413, "too-large", "Content Too Large", detail, [(b"connection", b"close")])


def _too_slow() -> Refused:
    detail = f"The rest of the body did not come within {SLOW:.0f} seconds."
    return Refused(408, "request-timeout", "Request Timeout", detail, [(b"connection", b"close")])


async def _send_problem(send: Send, refusal: Refused, request_id: bytes) -> None:
    problem = {
        "type": f"urn:eco2:gateway:{refusal.kind}",
        "title": refusal.title,
        "status": refusal.status,
        "detail": refusal.detail,
        "instance": request_id.decode("latin-1"),
    }
    more = [(b"x-request-id", request_id), *refusal.headers]
    await _send(send, refusal.status, b"application/problem+json", msgspec.json.encode(problem), more)


async def _send(send: Send, status: int, kind: bytes, body: bytes, more: Iterable[tuple[bytes, bytes]] = ()) -> None:
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode()), *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


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
        self.listening = asyncio.create_task(self.gateway.obey())


def main() -> None:
    spans.configure("gateway")
    gateway = Gateway(read_routes(os.environ["GATEWAY_ROUTES"]), dict(os.environ))
    config = uvicorn.Config(
        gateway,
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        lifespan="off",
        http=ProblemProtocol,
        loop="uvloop",
        ws="none",
        timeout_graceful_shutdown=2,
    )
    _Server(config, gateway).run([socket.socket(fileno=int(os.environ["LISTEN_FD"]))])


if __name__ == "__main__":
    main()
