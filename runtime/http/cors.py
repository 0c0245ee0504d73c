"""Which pages of other origins may read the answers (the Fetch standard's CORS), decided at the edge.

At the edge and not by Litestar's middleware: refusals that no function sees (404, 413, a function that is off) are answers too,
and a page that can't read them knows nothing. Nothing here goes with cookies, so credentials are never allowed.
"""

from __future__ import annotations

import re
from typing import Any

from shared.answers import Whole

_EXPOSED = b"ETag, Location, Retry-After, WWW-Authenticate, X-Request-Id, Allow"
_METHODS = b"GET, HEAD, POST, PUT, PATCH, DELETE"
_HEADERS = (
    b"Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, X-Request-Id, traceparent"
)
_SECONDS = b"600"


class Cors:
    """The allowed origins: exact, separated by commas; a port `*` means any. None: native apps alone."""

    def __init__(self, origins: str) -> None:
        given = [origin.strip().rstrip("/") for origin in origins.split(",") if origin.strip()]
        self.on = bool(given)
        ports = r"(:\d{1,5})?"
        patterns = (re.escape(one[:-2]) + ports if one.endswith(":*") else re.escape(one) for one in given)
        self._allowed = re.compile("|".join(patterns).encode())

    def headers(self, origin: bytes | None) -> list[tuple[bytes, bytes]]:
        """What an answer to a page of this origin carries; for another's, that it would differ."""
        found = [(b"vary", b"Origin")]
        if origin is not None and self._allowed.fullmatch(origin):
            found += [(b"access-control-allow-origin", origin), (b"access-control-expose-headers", _EXPOSED)]
        return found

    def preflight(self, method: str, headers: list[tuple[bytes, bytes]]) -> Whole | None:
        """The answer to a browser that asks before it sends; None for any other request, or to a page not allowed."""
        if method != "OPTIONS":
            return None
        given = dict(headers)
        origin = given.get(b"origin")
        if b"access-control-request-method" not in given or origin is None or not self._allowed.fullmatch(origin):
            return None
        more = {
            "Access-Control-Allow-Methods": _METHODS.decode(),
            "Access-Control-Allow-Headers": _HEADERS.decode(),
            "Access-Control-Max-Age": _SECONDS.decode(),
            "Vary": "Access-Control-Request-Method, Access-Control-Request-Headers",
        }
        return Whole(204, b"", more=more)

    def sending(self, headers: list[tuple[bytes, bytes]], send: Any) -> Any:
        """`send`, with these headers at an answer that has none of them yet."""
        more = self.headers(next((value for name, value in headers if name == b"origin"), None))

        async def sent(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                given: Any = list(message.get("headers", ()))
                if not any(header[0] == b"access-control-allow-origin" or header == more[0] for header in given):
                    message["headers"] = [*given, *more]
            await send(message)

        return sent
