"""A request on its way through the gateway to a service, and the answer back, both as they come."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import urlsplit

import httpcore
import msgspec

from emulator.network.bodies import Kept
from emulator.network.refusals import Headers, Receive, Refused, Scope, Send, away
from emulator.network.upstream import Upstream
from shared import clock, spans, trace

# Towards services; everything large goes to the object store directly.
MAX_BODY = 1024 * 1024
# A service that takes so long to begin its answer is away; one that is not there at all refuses the connection at once. Event
# streams begin at once.
PATIENCE = 60.0
# Seconds that a client may let pass between two pieces of a body that it has announced.
SLOW = 30.0
_HOP = {b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization"}
_HOP |= {b"te", b"trailer", b"transfer-encoding", b"upgrade"}
_NOT_OURS = _HOP | {b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-request-id"}


class Route(msgspec.Struct, frozen=True):
    """Which service answers below a prefix."""

    prefix: str
    service: str
    url: str


class Forwarder:
    """Hands requests on over `upstream`; `note` gives headers for a service's answers."""

    def __init__(self, upstream: Upstream, note: Callable[[str], Headers]) -> None:
        self._upstream = upstream
        self._note = note

    async def forward(
        self, route: Route, scope: Scope, receive: Receive, send: Send, request_id: bytes, *, known_away: bool = False
    ) -> None:
        """Hand one request on.

        Raises:
            Refused: the service does not answer (as `known_away` says beforehand), or the request can't be handed on.
        """
        body, headers = _Body(scope, receive), _forwarded(scope, request_id)
        if not spans.on() or route.service == "dashboard":  # which would show its own looking
            await self._forward(route, scope, receive, send, headers, body, known_away)
            return
        seen = _Spanned(route, scope, headers, send, body)
        try:
            await self._forward(route, scope, receive, seen, headers, body, known_away)
        except Refused as refused:
            seen.status, seen.said = refused.status, refused.detail
            raise
        finally:
            seen.end(request_id.decode("latin-1"))

    async def _forward(
        self, route: Route, scope: Scope, receive: Receive, send: Send, headers: Headers, body: "_Body", away_: bool
    ) -> None:
        if away_:
            raise away(route.service)
        target = urlsplit(route.url)
        path = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
        url = httpcore.URL(scheme=b"http", host=target.hostname or "", port=target.port, target=path)
        timeouts = {"connect": PATIENCE, "read": PATIENCE, "write": PATIENCE, "pool": None}
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
                kept += self._note(route.service)
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
            raise away(route.service) from None

    async def _first_byte(self, request: httpcore.Request, body: "_Body") -> httpcore.Response:
        try:
            return await self._upstream.handle_async_request(request)
        except (httpcore.ReadError, httpcore.RemoteProtocolError, httpcore.WriteError):
            # A kept connection that the service ended while it was idle, as at its reload. What has no body may go
            # again.
            if body.comes or request.method not in (b"GET", b"HEAD", b"OPTIONS"):
                raise
            return await self._upstream.handle_async_request(request)

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


class _Body:
    """A request's body, counted as it passes."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.receive = receive
        length = next((value for name, value in scope["headers"] if name == b"content-length"), None)
        chunked = any(name == b"transfer-encoding" for name, _ in scope["headers"])
        self.comes = chunked or (length is not None and length != b"0")
        self.read = not self.comes
        self.kept = Kept()
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
                if spans.on():
                    self.kept.add(message["body"])
                yield message["body"]
            if not message.get("more_body"):
                self.read = True
                return

    async def until_gone(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass


class _Spanned:
    """Sends an answer on, and remembers what the dashboard is told when it has ended, whole or not."""

    def __init__(self, route: Route, scope: Scope, headers: Headers, send: Send, body: "_Body") -> None:
        incoming = _value(headers, b"traceparent")
        self.route, self.scope, self.send, self.parent = route, scope, send, incoming
        self.request, self.answer = body.kept, Kept()
        self.request_type, self.answer_type = _value(headers, b"content-type"), ""
        self.traceparent = trace.enter(incoming)
        headers[:] = [header for header in headers if header[0] != b"traceparent"]
        headers.append((b"traceparent", self.traceparent.encode()))
        self.started, self.at, self.status, self.said = time.perf_counter(), clock.time(), 0, ""

    async def __call__(self, message: dict[str, Any]) -> None:
        await self.send(message)
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.answer_type = _value(message["headers"], b"content-type")
        else:
            self.answer.add(message.get("body", b""))

    def end(self, request_id: str) -> None:
        spans.send(
            f"{self.scope['method']} → {self.route.service}",
            "gateway",
            traceparent=self.traceparent,
            parent=self.parent,
            started=self.at,
            seconds=time.perf_counter() - self.started,
            status=self.status or None,
            said=self.said or None,
            # As the service tells it; what never reached one is known by this alone.
            path=self.scope["path"],
            request_id=request_id,
            request_body=self.request.shown(self.request_type),
            answer_body=self.answer.shown(self.answer_type),
        )


def _value(headers: Headers, name: bytes) -> str:
    return next((value for key, value in headers if key == name), b"").decode("latin-1")


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


def _too_large() -> Refused:
    detail = f"A request's body may have at most {MAX_BODY} bytes; files go to the object store."
    return Refused(413, "too-large", "Content Too Large", detail, [(b"connection", b"close")])


def _too_slow() -> Refused:
    detail = f"The rest of the body did not come within {SLOW:.0f} seconds."
    return Refused(408, "request-timeout", "Request Timeout", detail, [(b"connection", b"close")])
