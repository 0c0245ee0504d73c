"""The outermost layer of a host: request ids, trace context, metrics, access log, health, and one app per service behind it."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from random import getrandbits
from typing import TYPE_CHECKING, Any

import msgspec

from runtime.http import problems, switch
from runtime.telemetry import AccessLog, exposition, latencies
from shared import clock, spans, supervision, trace
from shared.errors import NotFound, Problem, Unavailable

if TYPE_CHECKING:
    from litestar.types import ASGIApp, Message, Receive, Scope, Send

    from runtime.http.host import Hosted

log = logging.getLogger(__name__)

_ID = re.compile(r"[0-9A-Fa-f]{8}(-?[0-9A-Fa-f]{4}){3}-?[0-9A-Fa-f]{12}")
# Set in the scope of a request whose body is no JSON: the handler's own checks (the token) come first.
UNSUPPORTED = "eco2_unsupported"
_CHARSET = re.compile(rb";\s*charset\s*=\s*\"?([^\s;\"]*)", re.IGNORECASE)


class Edge:
    """An ASGI application over the hosted services. Health answers live here, out of the reach of the gateway's prefixes."""

    def __init__(self, hosted: Sequence[Hosted], access: AccessLog) -> None:
        self._hosted = list(hosted)
        self._access = access
        self._routes = [(h.service.prefix, h.service.folder, h.app) for h in hosted]
        self.draining = False

    async def __call__(self, scope: Any, receive: Receive, send: Any) -> None:
        if scope["type"] == "http":
            await self._request(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        else:
            raise RuntimeError("only HTTP is served here")

    async def _request(self, scope: Any, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        path: str = scope["path"]
        incoming_id = traceparent = None
        content_type, has_body = b"", False
        for name, value in scope["headers"]:
            if name == b"content-type":
                content_type = value
            elif name == b"content-length":
                has_body = value != b"0"
            elif name == b"transfer-encoding":
                has_body = True
            elif name == b"traceparent":
                traceparent = value.decode("latin-1")
            elif name == b"x-request-id" and trace.REQUEST_ID.fullmatch(value):
                incoming_id = value
        # Ids, not secrets: Python's own generator costs a tenth of a system call, and is seeded anew after a fork.
        random = f"{getrandbits(320):080x}"
        request_id = incoming_id.decode() if incoming_id else random[:32]
        trace.set_request_id(request_id)
        parent = traceparent or ""
        traceparent = trace.enter(traceparent, random[32:])
        id_header = (b"x-request-id", request_id.encode())
        status = 500

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], id_header]
            await send(message)

        service, app = self._find(path)
        if has_body and not _is_json(content_type):
            scope[UNSUPPORTED] = True
        if scope["method"] == "HEAD":
            # What GET says, without the body (RFC 9110 §9.3.2): functions know GET alone.
            scope, sending = scope | {"method": "GET"}, _without_body(sending)
        if switch.off and switch.is_off(service, scope["method"], path):
            app = _refuse(Unavailable("function", retry_after=60))
        try:
            await app(scope, receive, sending)
        finally:
            seconds = time.perf_counter() - started
            if service:
                method: str = scope["method"]
                template = scope.get("path_template") or "unmatched"
                latencies.add(service, method, template, status, seconds)
                # Logs name no person (shared.identity.alias_of).
                if "user_id" in template:
                    path = template
                elif template == "unmatched":
                    path = _ID.sub("{id}", path)
                if spans.on():
                    now = clock.time()
                    spans.send(
                        f"{method} {template}", "server", traceparent=traceparent, parent=parent, started=now - seconds,
                        seconds=seconds, status=status, path=path, request_id=request_id,
                        query=scope["query_string"].decode("latin-1") or None,
                    )  # fmt: skip
                self._access.add(method, path, status, seconds, scope.get("eco2_user"), request_id, traceparent)

    def _find(self, path: str) -> tuple[str, ASGIApp]:
        for prefix, folder, app in self._routes:
            if path.startswith(prefix) and (len(path) == len(prefix) or path[len(prefix)] == "/"):
                return folder, app
        answer = _HEALTH.get(path)
        return "", answer(self) if answer else _refuse(NotFound("There is no such address."))

    async def _lifespan(self, receive: Receive, send: Any) -> None:
        await receive()
        try:
            for hosted in self._hosted:
                await hosted.start()
        except Exception as error:  # uvicorn ends the process with this line; its own word on it would be a stack
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            raise
        await send({"type": "lifespan.startup.complete"})
        for hosted in self._hosted:
            hosted.warm()
        await receive()
        for hosted in self._hosted:
            await hosted.stop()
        self._access.flush()
        await send({"type": "lifespan.shutdown.complete"})

    def drain(self) -> None:
        """Stop taking part: not ready any more, and nobody waits for events that may take their time."""
        self.draining = True
        for hosted in self._hosted:
            hosted.drain()

    async def readiness(self) -> tuple[int, bytes]:
        """503 only without a service's own database, for one broken Redis must not empty every load balancer."""
        found = await asyncio.gather(*(hosted.parts() for hosted in self._hosted))
        parts = {name: state for states in found for name, state in states.items()}
        ready = not self.draining and all(states["database"] == "up" for states in found)
        word = "ready" if ready else "stopping" if self.draining else "not ready"
        return 200 if ready else 503, msgspec.json.encode(
            {"status": word, "parts": parts, "reasons": supervision.troubles(), "loops": supervision.states()}
        )


def _healthz(_: Edge) -> ASGIApp:
    async def reply(scope: Scope, receive: Receive, send: Send) -> None:
        await _send(send, 200, b"application/json", b'{"status":"alive"}')

    return reply


def _readyz(edge: Edge) -> ASGIApp:
    async def reply(scope: Scope, receive: Receive, send: Send) -> None:
        status, body = await edge.readiness()
        await _send(send, status, b"application/json", body)

    return reply


def _metrics(_: Edge) -> ASGIApp:
    async def reply(scope: Scope, receive: Receive, send: Send) -> None:
        body = await asyncio.to_thread(exposition)
        await _send(send, 200, b"text/plain; version=0.0.4; charset=utf-8", body)

    return reply


def _without_body(send: Any) -> Any:
    """Sends the head of an answer, and ends it there: an event stream too, which would go on for long."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            await send(message)
            await send({"type": "http.response.body", "body": b""})

    return sending


def _refuse(problem: Problem) -> ASGIApp:
    async def reply(scope: Scope, receive: Receive, send: Send) -> None:
        status, headers, body = problems.answer(problem, trace.request_id())
        extra = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await _send(send, status, problems.MEDIA_TYPE.encode(), body, extra)

    return reply


def _is_json(content_type: bytes) -> bool:
    if content_type == b"application/json":
        return True
    essence = content_type.partition(b";")[0].strip().lower()
    if essence != b"application/json" and not (essence.startswith(b"application/") and essence.endswith(b"+json")):
        return False
    charset = _CHARSET.search(content_type)
    return charset is None or charset[1].lower() in (b"utf-8", b"utf8")


_HEALTH: dict[str, Callable[[Edge], ASGIApp]] = {"/healthz": _healthz, "/readyz": _readyz, "/metrics": _metrics}


async def _send(
    send: Callable[[Any], Awaitable[None]],
    status: int,
    kind: bytes,
    body: bytes,
    extra: Sequence[tuple[bytes, bytes]] = (),
) -> None:
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode()), *extra]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
