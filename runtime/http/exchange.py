"""One request and its answer as the edge sees them: what the head says, and the headers that every answer carries."""

from __future__ import annotations

import time
from random import getrandbits
from typing import TYPE_CHECKING, Any

from runtime.http.authentication import PLACE
from shared import trace

if TYPE_CHECKING:
    from litestar.types import Message, Send

_NOSNIFF = (b"x-content-type-options", b"nosniff")
# An address may hold a ticket; no page that it leads to is told of it.
_NO_REFERRER = (b"referrer-policy", b"no-referrer")
_NO_STORE = (b"cache-control", b"no-store")
_HSTS = (b"strict-transport-security", b"max-age=31536000; includeSubDomains")


class Exchange:
    """A request id and a trace for what follows, and the answer on its way out.

    Attributes:
        scope: what the application gets: a HEAD becomes a GET, since functions know GET alone (RFC 9110 §9.3.2)
        added: the headers that the answer gets beside the application's
        begun: whether an answer has
        status: the answer's; 500 until it begins
    """

    __slots__ = (
        *("added", "begun", "coded", "content_type", "has_body", "origin", "parent", "request_id", "scope", "started"),
        *("status", "traceparent", "_send", "_without_body"),
    )

    def __init__(self, scope: Any, send: Send) -> None:
        self.started = time.perf_counter()
        self.scope, self._send, self._without_body = scope, send, scope["method"] == "HEAD"
        self.begun, self.status = False, 500
        self.content_type, self.has_body, self.coded = b"", False, False
        self.origin: bytes | None = None
        self._read(scope["headers"])
        if b"ticket=" in scope["query_string"]:
            self.added.append(_NO_REFERRER)
        if self._without_body:
            self.scope = scope | {"method": "GET"}

    def _read(self, headers: list[tuple[bytes, bytes]]) -> None:
        incoming_id = traceparent = None
        tls = False
        for name, value in headers:
            if name == b"content-type":
                self.content_type = value
            elif name == b"content-length":
                self.has_body = value != b"0"
            elif name == b"transfer-encoding":
                self.has_body = True
            elif name == b"content-encoding":
                self.coded = value.lower() != b"identity"
            elif name == b"origin":
                self.origin = value
            elif name == b"x-forwarded-proto":
                tls = value == b"https"
            elif name == b"traceparent":
                traceparent = value.decode("latin-1")
            elif name == b"x-request-id" and trace.REQUEST_ID.fullmatch(value):
                incoming_id = value
        # Ids, not secrets: Python's own generator costs a tenth of a system call, and is seeded anew after a fork.
        random = f"{getrandbits(320):080x}"
        self.request_id = incoming_id.decode() if incoming_id else random[:32]
        trace.set_request_id(self.request_id)
        self.parent = traceparent or ""
        self.traceparent = trace.enter(traceparent, random[32:])
        self.added = [(b"x-request-id", self.request_id.encode()), _NOSNIFF]
        if tls:
            self.added.append(_HSTS)

    def leave(self) -> None:
        """Give the place in the line to the next: when the answer begins, because events may go on for hours."""
        if (place := self.scope.get(PLACE)) is not None:
            place.leave()

    async def sending(self, message: Message) -> None:
        """What the application answers through."""
        if message["type"] == "http.response.start":
            self._begin(message)
            await self._send(message)
            if self._without_body:  # also of an event stream, which would go on for long
                await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        elif not self._without_body:
            await self._send(message)

    def _begin(self, message: Any) -> None:
        self.begun, self.status = True, message["status"]
        self.leave()
        headers = [*message["headers"], *self.added]
        # What is a person's, and tokens, which are what a change is answered with.
        if "eco2_user" in self.scope or self.scope["method"] != "GET":
            for name, _ in headers:
                if name == b"cache-control":
                    break
            else:
                headers.append(_NO_STORE)
        message["headers"] = headers
