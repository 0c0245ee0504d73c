"""A request on its way through the gateway to a service, and the answer back, both as they come."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import urlsplit

import msgspec

from emulator.network.bodies import Kept
from emulator.network.connection import Connection, Cut, Unanswered
from emulator.network.refusals import Headers, Receive, Refused, Scope, Send, away
from emulator.network.upstream import Upstream, head_of
from shared import clock, spans, trace

# Towards services; everything large goes to the object store directly.
MAX_BODY = 1024 * 1024
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
        method = scope["method"].encode()
        path = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
        try:
            head = head_of(method, path, headers)
        except ValueError as error:
            raise Refused(400, "bad-request", "Bad Request", f"The request can't be handed on: {error}.") from None
        answer = _Answer(send, lambda: self._note(route.service))
        try:
            try:
                await self._exchange(route, method, head, body, answer)
            except Cut:
                # A kept connection that the service ended while it was idle, as at its reload. What has no body may go again.
                if answer.started or body.comes or method not in (b"GET", b"HEAD", b"OPTIONS"):
                    raise
                await self._exchange(route, method, head, body, answer)
        except Unanswered:
            if body.left:
                return
            if answer.started:
                raise  # uvicorn closes the connection: the client sees that the answer is not whole
            raise away(route.service) from None
        except ConnectionAbortedError:
            return  # no one is there to be answered

    async def _exchange(self, route: Route, method: bytes, head: bytes, body: "_Body", answer: "_Answer") -> None:
        target = urlsplit(route.url)
        async with self._upstream.connection(target.hostname or "", target.port or 80) as service:
            if body.comes:
                begun = await body.piece()
                service.ask(method, head + begun, None if body.read else body.rest())
            else:
                service.ask(method, head)
            await service.head()
            await answer.begin(service)
            if service.complete:
                await answer.end(service.taken())
            else:
                await _stream(service, answer, body)


async def _stream(service: Connection, answer: "_Answer", body: "_Body") -> None:
    """Hand on the answer piece by piece; let go of the service when the client has gone."""

    async def pieces() -> None:
        async for piece in service.pieces():
            await answer.piece(piece)
        await answer.end()

    handing = asyncio.create_task(pieces())
    leaving = asyncio.create_task(body.until_gone(service.sending))
    try:
        await asyncio.wait((handing, leaving), return_when=asyncio.FIRST_COMPLETED)
    finally:
        leaving.cancel()
        if not handing.done():
            handing.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await handing


class _Answer:
    """A service's answer on its way to the client, with the headers that `note` adds."""

    def __init__(self, send: Send, note: Callable[[], Headers]) -> None:
        self._send = send
        self._note = note
        self.started = False

    async def begin(self, service: Connection) -> None:
        kept = [header for header in service.headers if header[0] not in _HOP]
        kept += self._note()
        await self._send({"type": "http.response.start", "status": service.status, "headers": kept})
        self.started = True

    async def piece(self, piece: bytes) -> None:
        await self._send({"type": "http.response.body", "body": piece, "more_body": True})

    async def end(self, piece: bytes = b"") -> None:
        await self._send({"type": "http.response.body", "body": piece})


class _Body:
    """A request's body, counted as it passes."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.receive = receive
        length = next((value for name, value in scope["headers"] if name == b"content-length"), None)
        self._chunked = any(name == b"transfer-encoding" for name, _ in scope["headers"])
        self.comes = self._chunked or (length is not None and length != b"0")
        self.kept = Kept()
        self.size = 0
        self.left = False  # the client, before its body was whole
        if length is not None and length.isdigit() and int(length) > MAX_BODY:
            raise _too_large()

    async def piece(self) -> bytes:
        """The next piece, in the form in which the request announces it.

        Raises:
            Refused: it is too large, or does not come.
            ConnectionAbortedError: the client has gone.
        """
        try:
            async with asyncio.timeout(SLOW):
                message = await self.receive()
        except TimeoutError:
            raise _too_slow() from None
        if message["type"] == "http.disconnect":
            self.left = True
            raise ConnectionAbortedError
        piece: bytes = message.get("body", b"")
        self.size += len(piece)
        if self.size > MAX_BODY:
            raise _too_large()
        if piece and spans.on():
            self.kept.add(piece)
        self.read = not message.get("more_body")
        if not self._chunked:
            return piece
        chunk = b"%x\r\n%b\r\n" % (len(piece), piece) if piece else b""
        return chunk + b"0\r\n\r\n" if self.read else chunk

    async def rest(self) -> AsyncIterator[bytes]:
        while not self.read:
            yield await self.piece()

    async def until_gone(self, sending: asyncio.Task[None] | None) -> None:
        """Until the client has; what is still `sending` its body hears of that first."""
        if sending is not None:
            await asyncio.wait((sending,))
        while (await self.receive())["type"] != "http.disconnect":
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
