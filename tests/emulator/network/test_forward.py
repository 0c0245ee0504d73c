"""What the dashboard is told of a request that the gateway hands on, or can't."""

import asyncio
import socket
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from emulator.network import forward
from emulator.network.forward import Forwarder, Route
from emulator.network.refusals import Refused
from emulator.network.upstream import Upstream
from emulator.process import free_port
from shared import spans
from tests import support


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """Where spans of this process go meanwhile."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
        wire.bind(("127.0.0.1", 0))
        wire.settimeout(10)
        monkeypatch.setenv("ECO2_SPANS", f"127.0.0.1:{wire.getsockname()[1]}")
        spans.configure("gateway")
        yield wire
    monkeypatch.delenv("ECO2_SPANS")
    spans.configure("gateway")


@pytest.mark.parametrize("known_away", [True, False])
async def test_a_request_that_reached_no_service_has_a_span_with_its_id(told: socket.socket, known_away: bool) -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        raise AssertionError("nothing is answered here")

    scope: dict[str, Any] = {"type": "http", "method": "POST", "path": "/api/v1/gone/x", "raw_path": b"/api/v1/gone/x"}
    headers = [(b"host", b"here"), (b"content-length", b"2"), (b"content-type", b"application/json")]
    scope |= {"query_string": b"", "scheme": "http", "headers": headers, "client": ("127.0.0.1", 1)}
    route = Route("/api/v1/gone", "api-gone", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(Refused):
        await Forwarder(Upstream(), lambda _: []).forward(route, scope, receive, send, b"r-1", known_away=known_away)
    span = msgspec.json.decode(told.recv(65536))
    assert (span["kind"], span["name"]) == ("gateway", "POST → api-gone")
    assert (span["attributes"]["status"], span["attributes"]["request_id"]) == (503, "r-1")
    assert "does not answer" in span["attributes"]["said"]


async def test_a_body_that_does_not_come_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward, "SLOW", 0.01)

    async def silent() -> dict[str, Any]:
        return await asyncio.Future()

    body = forward._Body({"headers": [(b"content-length", b"2")]}, silent)
    async with asyncio.timeout(60):
        with pytest.raises(Refused) as refused:
            await body.piece()
    assert refused.value.status == 408


@pytest.mark.parametrize("leaves", [False, True], ids=["stays", "leaves"])
async def test_a_service_s_connection_is_kept_for_the_next_and_closed_when_the_client_has_left(leaves: bool) -> None:
    gone, left, begun = asyncio.Event(), asyncio.Event(), 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal begun
        begun += 1
        while await reader.readline():
            await reader.readuntil(b"\r\n\r\n")
            # To who is going to leave only half of what was announced.
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\nab" % (4 if leaves else 2))
        gone.set()

    async def receive() -> dict[str, Any]:
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        if leaves and message.get("body"):
            left.set()

    upstream = Upstream()
    scope: dict[str, Any] = {"type": "http", "method": "GET", "path": "/api/v1/here/x", "raw_path": b"/api/v1/here/x"}
    scope |= {"query_string": b"", "scheme": "http", "headers": [(b"host", b"here")], "client": ("127.0.0.1", 1)}
    async with asyncio.timeout(60), support.answering(serve) as address:
        route = Route("/api/v1/here", "api-here", address)
        for _ in range(2):
            await Forwarder(upstream, lambda _: []).forward(route, scope, receive, send, b"r-1")
            if leaves:
                await gone.wait()
            gone.clear()
        assert (begun, upstream.kept) == ((2, 0) if leaves else (1, 1))
        upstream.close()


def test_what_a_client_says_of_who_asked_where_is_not_believed_and_its_connection_s_headers_end_here() -> None:
    said = {
        "x-forwarded-host": "evil.example", "x-forwarded-proto": "gopher", "x-request-id": "forged", "te": "trailers",
        "connection": "close", "keep-alive": "timeout=5", "upgrade": "h2c", "proxy-authorization": "Basic eA==", "trailer": "x",
    }  # fmt: skip
    kept = [(b"host", b"eco2.test"), (b"authorization", b"Bearer a"), (b"idempotency-key", b"k")]
    scope = {
        "headers": [*kept, *((name.encode(), value.encode()) for name, value in said.items())],
        "client": ("10.1.2.3", 5),
        "scheme": "https",
    }
    own = [
        (b"x-forwarded-for", b"10.1.2.3"),
        (b"x-forwarded-proto", b"https"),
        (b"x-forwarded-host", b"eco2.test"),
        (b"x-request-id", b"ours"),
    ]
    assert sorted(forward._forwarded(scope, b"ours")) == sorted([*kept, *own])


def test_a_service_is_told_of_one_trace_which_is_the_client_s(told: socket.socket) -> None:
    theirs = b"00-" + b"1" * 32 + b"-" + b"2" * 16 + b"-01"
    headers = [(b"host", b"here"), (b"traceparent", theirs)]
    scope = {"headers": headers, "method": "GET", "path": "/api/v1/here/x"}
    seen = forward._Spanned(Route("/api/v1/here", "api-here", ""), scope, headers, None, forward._Body(scope, None))  # type: ignore[arg-type]  # nothing is sent or received
    [traceparent] = [value for name, value in headers if name == b"traceparent"]
    assert traceparent.split(b"-")[1] == b"1" * 32
    assert traceparent != theirs
    assert seen.parent == theirs.decode()


async def test_a_client_that_leaves_while_it_is_answered_and_still_sends_is_no_fault() -> None:
    begun, over = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
        await over.wait()

    messages = iter([{"type": "http.request", "body": b"x", "more_body": True}])

    async def receive() -> dict[str, Any]:
        if (message := next(messages, None)) is None:
            await begun.wait()
            return {"type": "http.disconnect"}
        return message

    async def send(message: dict[str, Any]) -> None:
        if message.get("body"):
            begun.set()

    scope: dict[str, Any] = {"type": "http", "method": "POST", "path": "/api/v1/here/x", "raw_path": b"/api/v1/here/x"}
    scope |= {"query_string": b"", "scheme": "http", "client": ("127.0.0.1", 1)}
    scope |= {"headers": [(b"host", b"here"), (b"content-length", b"2")]}
    async with asyncio.timeout(60), support.answering(serve) as address:
        route = Route("/api/v1/here", "api-here", address)
        await Forwarder(Upstream(), lambda _: []).forward(route, scope, receive, send, b"r-1")
        over.set()
