"""The outermost layer of a host: one app per service behind it, what every request is refused for, metrics and access log."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

import msgspec

from runtime.http import problems
from runtime.http.authentication import UNSUPPORTED
from runtime.http.cors import Cors
from runtime.http.exchange import Exchange
from runtime.http.health import PATHS, Health
from runtime.telemetry import AccessLog, latencies
from shared import clock, spans, trace
from shared.answers import Whole
from shared.errors import BadInput, NotFound, Problem, Unavailable

if TYPE_CHECKING:
    from litestar.types import ASGIApp, Receive, Send

    from runtime.http.hosted import Hosted

# Query parameters whose values open something: nothing that is kept shows them.
_SECRET = re.compile(
    r"((?:^|&)[^=&]*(?:ticket|token|code|state|secret|passw|key|sig|auth|cred|nonce)[^=&]*=)[^&]*", re.I
)
# Characters of the longest address that a function can have. Litestar remembers the last 1,024 addresses and their parameters
# whatever their length, and a UUID has endless spellings: with lines of 8 KB that is 20 MB a service for whoever fills it.
LONGEST = 1000
_NOWHERE = "There is no such address."
_CHARSET = re.compile(rb";\s*charset\s*=\s*\"?([^\s;\"]*)", re.IGNORECASE)


class Edge:
    """An ASGI application over the hosted services."""

    def __init__(self, hosted: Sequence[Hosted], access: AccessLog) -> None:
        self._hosted = list(hosted)
        self._access = access
        self._routes = [(h.service.prefix, h.service.folder, h.app) for h in hosted]
        self._words = {word for h in hosted for route in h.app.routes for word in route.path.split("/")}
        self.cors = Cors(hosted[0].settings.cors_origins if hosted else "")
        self._health = Health(self._hosted)
        self._docs = {f"{h.service.prefix}/docs": h for h in hosted if h.settings.api_docs}

    async def __call__(self, scope: Any, receive: Receive, send: Any) -> None:
        if scope["type"] == "http":
            await self._request(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        else:
            raise RuntimeError("only HTTP is served here")

    async def _request(self, scope: Any, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope, send)
        scope = exchange.scope
        if self.cors.on:
            exchange.added += self.cors.headers(exchange.origin)
        service, app = self._find(scope["path"])
        if exchange.has_body and exchange.coded:
            scope[UNSUPPORTED] = "Send the body as it is, without Content-Encoding."
        elif exchange.has_body and not _is_json(exchange.content_type):
            scope[UNSUPPORTED] = None
        if self.cors.on and (preflight := self.cors.preflight(scope["method"], scope["headers"])) is not None:
            app = preflight
        elif b"%" in scope["query_string"] and (parameter := _not_utf_8(scope["query_string"])) is not None:
            app = _refuse(BadInput(parameter, "is not UTF-8: percent-encode its UTF-8 bytes"))
        try:
            await app(scope, receive, exchange.sending)
        except asyncio.CancelledError:
            # A stop has taken as long as it may, and uvicorn ends what is left: it would call that an error of ours, in text.
            # What was under way is undone, or no one knows, as with any part that goes away.
            if exchange.begun or not self._health.draining:
                raise
            await _refuse(Unavailable("service"))(scope, receive, exchange.sending)
        finally:
            exchange.leave()
            if service:
                self._note(service, exchange)

    def _note(self, service: str, exchange: Exchange) -> None:
        """Count the request, write its line of the access log and its span."""
        scope = exchange.scope
        seconds = time.perf_counter() - exchange.started
        method, path = scope["method"], scope["path"]
        template = scope.get("path_template") or "unmatched"
        latencies.add(service, method, template, exchange.status, seconds)
        # Logs name no person (shared.identity.alias_of).
        if "user_id" in template:
            path = template
        elif template == "unmatched":
            path = "/".join(word if word in self._words else "{?}" for word in path.split("/")[:12])
        if spans.on():
            now = clock.time()
            spans.send(
                f"{method} {template}", "server", traceparent=exchange.traceparent, parent=exchange.parent,
                started=now - seconds, seconds=seconds, status=exchange.status, path=path,
                request_id=exchange.request_id, query=_shown(scope["query_string"].decode("latin-1")) or None,
            )  # fmt: skip
        self._access.add(
            method, path, exchange.status, seconds, scope.get("eco2_user"), exchange.request_id, exchange.traceparent
        )

    def _find(self, path: str) -> tuple[str, ASGIApp]:
        if self._docs and "/docs" in path and (page := self._page(path)) is not None:
            return page
        for prefix, folder, app in self._routes:
            if path.startswith(prefix) and (len(path) == len(prefix) or path[len(prefix)] == "/"):
                return folder, app if len(path) <= LONGEST else _refuse(NotFound(_NOWHERE))
        return "", self._health.probe(path) if path in PATHS else _refuse(NotFound(_NOWHERE))

    def _page(self, path: str) -> tuple[str, ASGIApp] | None:
        """What shows the API reference of a service; the functions know nothing of it."""
        from runtime.http import reference

        for address, hosted in self._docs.items():
            if path == address or path.startswith(f"{address}/"):
                document = msgspec.json.decode(hosted.document())
                found = reference.answer(path.removeprefix(address), hosted.service.prefix, document)
                if found is not None:
                    status, kind, body, headers = found
                    return "", Whole(status, body, kind, headers)
        return None

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
        """Stop taking part: not ready any more, and no one waits for events that may take their time."""
        self._health.draining = True
        for hosted in self._hosted:
            hosted.drain()


def _refuse(problem: Problem) -> Whole:
    status, headers, body = problems.answer(problem, trace.request_id())
    return Whole(status, body, problems.MEDIA_TYPE.encode(), headers)


def _shown(query: str) -> str:
    return _SECRET.sub(r"\1…", query)


def _not_utf_8(query: bytes) -> str | None:
    """The name of a query parameter that is not UTF-8 (CP949, say), if there is one."""
    for pair in query.split(b"&"):
        if b"%" in pair:
            name, _, value = (unquote_to_bytes(part) for part in pair.partition(b"="))
            try:
                (name + value).decode()
            except UnicodeDecodeError:
                return name.decode(errors="replace")[:100]
    return None


def _is_json(content_type: bytes) -> bool:
    if content_type == b"application/json":
        return True
    essence = content_type.partition(b";")[0].strip().lower()
    if essence != b"application/json" and not (essence.startswith(b"application/") and essence.endswith(b"+json")):
        return False
    charset = _CHARSET.search(content_type)
    return charset is None or charset[1].lower() in (b"utf-8", b"utf8")
