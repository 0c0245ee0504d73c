"""Public copies of images below /cdn, read from the object store as CloudFront does."""

import asyncio
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

from emulator.network.connection import Unanswered
from emulator.network.refusals import Refused, Scope, Send, away
from emulator.network.upstream import Upstream
from emulator.servers.s3.signature import sign_headers

# Seconds that the store has for a copy.
_PATIENCE = 10.0
# What a public copy's answer may carry from the store to the browser.
_CDN_HEADERS = {b"content-type", b"content-length", b"content-range", b"accept-ranges"}
_CDN_HEADERS |= {b"etag", b"last-modified", b"cache-control"}
_OF_CONTENT = {b"content-type", b"content-length", b"content-range"}
_IMMUTABLE = b"public, max-age=31536000, immutable"


class PublicCopies:
    """Reads copies with the store's keys from `environ`."""

    def __init__(self, upstream: Upstream, environ: Mapping[str, str]) -> None:
        self._upstream = upstream
        self._environ = environ
        self._store = urlsplit(environ["S3_ENDPOINT_URL"])

    async def answer(self, key: str, scope: Scope, send: Send, request_id: bytes) -> None:
        missing = Refused(404, "not-found", "Not Found", "There is no public copy here.")
        if not key.startswith("images/") or ".." in key.split("/"):
            raise missing
        path = f"/{self._environ['S3_BUCKET']}/{quote(key)}"
        signed = sign_headers(
            scope["method"],
            self._store.netloc,
            path,
            self._environ["AWS_ACCESS_KEY_ID"],
            self._environ["AWS_SECRET_ACCESS_KEY"],
            self._environ["AWS_REGION"],
            datetime.now(UTC),
        )
        headers = [(name.encode(), value.encode()) for name, value in signed.items()]
        asked = dict(scope["headers"])
        # S3 answers parts also where the condition does not hold, and takes any unit for bytes: then all of it is right.
        if b"if-range" not in asked and (part := asked.get(b"range", b"")).startswith(b"bytes="):
            headers.append((b"range", part))
        url = f"{self._store.scheme}://{self._store.netloc}{path}"
        try:
            async with asyncio.timeout(_PATIENCE):
                answer = await self._upstream.request(scope["method"], url, headers)
        except (Unanswered, TimeoutError):
            raise away("the object store") from None
        if answer.status in (403, 404):
            raise missing
        if answer.status not in (200, 206, 304, 416):
            raise away("the object store")
        known = answer.status in (200, 206) and _names(asked.get(b"if-none-match", b""), answer.headers)
        kept = [(name, value) for name, value in answer.headers if name in _CDN_HEADERS]
        if not any(name == b"cache-control" for name, _ in kept):
            kept.append((b"cache-control", _IMMUTABLE))
        # A copy is what the system made of a photograph; still no one should take it for a page.
        kept += [(b"x-content-type-options", b"nosniff"), (b"access-control-allow-origin", b"*")]
        kept.append((b"x-request-id", request_id))
        if known:  # what it would be is told without its length: there is none of it
            kept = [(name, value) for name, value in kept if name not in _OF_CONTENT]
        await send({"type": "http.response.start", "status": 304 if known else answer.status, "headers": kept})
        await send(
            {"type": "http.response.body", "body": b"" if known or scope["method"] == "HEAD" else answer.content}
        )


def _names(condition: bytes, headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether an If-None-Match names the ETag among an answer's headers, in a list or as weak too (RFC 9110 §13.1.2); S3 takes
    but one."""
    return condition.strip() == b"*" or dict(headers).get(b"etag") in re.findall(rb'"[^"]*"', condition)
