"""The outermost layer of a host: request ids, trace context, metrics, access log, and one app per service behind it."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from random import getrandbits
from typing import TYPE_CHECKING, Any

from runtime.http import problems, switch
from runtime.http.authentication import UNSUPPORTED
from runtime.http.health import PATHS, Health
from runtime.telemetry import AccessLog, latencies
from shared import clock, spans, trace
from shared.answers import Whole
from shared.errors import NotFound, Problem, Unavailable

if TYPE_CHECKING:
    from litestar.types import ASGIApp, Message, Receive, Send

    from runtime.http.hosted import Hosted

_ID = re.compile(r"[0-9A-Fa-f]{8}(-?[0-9A-Fa-f]{4}){3}-?[0-9A-Fa-f]{12}")
_CHARSET = re.compile(rb";\s*charset\s*=\s*\"?([^\s;\"]*)", re.IGNORECASE)


class Edge:
    """An ASGI application over the hosted services."""

    def __init__(self, hosted: Sequence[Hosted], access: AccessLog) -> None:
        self._hosted = list(hosted)
        self._access = access
        self._routes = [(h.service.prefix, h.service.folder, h.app) for h in hosted]
        self._health = Health(self._hosted)

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
        return "", self._health.probe(path) if path in PATHS else _refuse(NotFound("There is no such address."))

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
        self._health.draining = True
        for hosted in self._hosted:
            hosted.drain()


def _without_body(send: Any) -> Any:
    """Sends the head of an answer, and ends it there: an event stream too, which would go on for long."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            await send(message)
            await send({"type": "http.response.body", "body": b""})

    return sending


def _refuse(problem: Problem) -> Whole:
    status, headers, body = problems.answer(problem, trace.request_id())
    return Whole(status, body, problems.MEDIA_TYPE.encode(), headers)


def _is_json(content_type: bytes) -> bool:
    if content_type == b"application/json":
        return True
    essence = content_type.partition(b";")[0].strip().lower()
    if essence != b"application/json" and not (essence.startswith(b"application/") and essence.endswith(b"+json")):
        return False
    charset = _CHARSET.search(content_type)
    return charset is None or charset[1].lower() in (b"utf-8", b"utf8")
