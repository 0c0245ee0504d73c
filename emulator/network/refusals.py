"""The gateway's own answers, as problem documents."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import msgspec

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


def away(service: str) -> Refused:
    detail = f"{service} does not answer. Try again in a moment."
    return Refused(503, "unavailable", "Service Unavailable", detail, [(b"retry-after", b"2")])


async def send_problem(send: Send, refusal: Refused, request_id: bytes) -> None:
    problem = {
        "type": f"urn:eco2:gateway:{refusal.kind}",
        "title": refusal.title,
        "status": refusal.status,
        "detail": refusal.detail,
        "instance": request_id.decode("latin-1"),
    }
    more = [(b"x-request-id", request_id), *refusal.headers]
    await send_whole(send, refusal.status, b"application/problem+json", msgspec.json.encode(problem), more)


async def send_whole(
    send: Send, status: int, kind: bytes, body: bytes, more: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode()), *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
