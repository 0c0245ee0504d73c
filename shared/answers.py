"""Answers that are known as a whole: a status, headers and bytes, sent and nothing else.

Litestar's own Response, which handles cookies, encoders and background tasks, takes a small GET through the application twice as
long (`make bench ARGS=host`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from litestar import Response

if TYPE_CHECKING:
    from collections.abc import Mapping

JSON = b"application/json"


class Whole:
    """A small ASGI application that sends one body; without a body it has no type."""

    __slots__ = ("body", "kind", "more", "status")

    def __init__(self, status: int, body: bytes, kind: bytes = JSON, more: Mapping[str, str] | None = None) -> None:
        self.status = status
        self.body = body
        self.kind = kind
        self.more = more

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = [] if self.status == 304 else [(b"content-length", b"%d" % len(self.body))]
        if self.body:
            headers.append((b"content-type", self.kind))
        if self.more:
            headers += [(name.lower().encode(), value.encode()) for name, value in self.more.items()]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": False})


class Ready(Response[Any]):
    """`Whole` as what a handler returns."""

    def __init__(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        # Litestar's sets up what is not used here.
        self.status_code = status
        self.content = body
        self.headers = dict(headers)

    def to_asgi_response(self, app: Any, request: Any, *, headers: Any = None, **options: Any) -> Any:
        return Whole(self.status_code or 200, self.content, more=self.headers | (headers or {}))
