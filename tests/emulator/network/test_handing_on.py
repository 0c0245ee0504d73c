"""A request's way to a service and the answer's way back, message by message: what is sent, counted, and tried again"""

import asyncio
import contextlib
from typing import Any

import pytest

from emulator.network import forward
from emulator.network.connection import Unanswered
from emulator.network.forward import MAX_BODY, Forwarder, Route
from emulator.network.refusals import Refused
from emulator.network.upstream import Upstream
from tests import support

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Service:
    """Answers each whole request with the next of its answers, an empty one by hanging up; keeps what it was sent."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)
        self.heads: list[str] = []
        self.bodies: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                self.heads.append(head)
                self.bodies.append(await self._body(head, reader))
                if not (answer := self.answers.pop(0)):
                    return
                writer.write(answer)

    async def _body(self, head: str, reader: asyncio.StreamReader) -> bytes:
        if "transfer-encoding: chunked" in head:
            return await reader.readuntil(b"0\r\n\r\n")
        length = head.partition("content-length: ")[2].partition("\r\n")[0]
        return await reader.readexactly(int(length or 0))


async def handed_on(
    service: Service,
    method: str = "GET",
    *pieces: bytes,
    headers: tuple[tuple[bytes, bytes], ...] = (),
    path: bytes = b"/x",
    query: bytes = b"",
    note: Any = lambda name: [(b"x-note", name.encode())],
) -> list[dict[str, Any]]:
    """What the client is sent for a request whose body comes in these pieces."""
    messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    if messages:
        messages[-1]["more_body"] = False
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return messages.pop(0) if messages else await asyncio.Future()

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope: dict[str, Any] = {"type": "http", "method": method, "path": path.decode(), "raw_path": path}
    scope |= {
        "query_string": query,
        "scheme": "http",
        "client": ("127.0.0.1", 1),
        "headers": [(b"host", b"a"), *headers],
    }
    upstream = Upstream()
    async with asyncio.timeout(60), support.answering(service.serve) as address:
        try:
            await Forwarder(upstream, note).forward(Route("/x", "api-x", address), scope, receive, send, b"r-1")
        finally:
            upstream.close()
    return sent


def _noting(begun: asyncio.Event) -> Any:
    """Sets the event when an answer begins."""

    def note(name: str) -> list[tuple[bytes, bytes]]:
        begun.set()
        return []

    return note


LENGTH = ((b"content-length", b"5"),)
CHUNKED = ((b"transfer-encoding", b"chunked"),)


async def test_an_answer_is_handed_on_whole_with_what_is_noted_of_its_service() -> None:
    service = Service(b"HTTP/1.1 203 X\r\nContent-Length: 2\r\nKeep-Alive: timeout=5\r\nETag: 1\r\n\r\nok")
    sent = await handed_on(service, query=b"a=1&b=%20")
    headers = [(b"content-length", b"2"), (b"etag", b"1"), (b"x-note", b"api-x")]
    assert sent == [
        {"type": "http.response.start", "status": 203, "headers": headers},
        {"type": "http.response.body", "body": b"ok"},
    ]
    assert service.heads[0].startswith("get /x?a=1&b=%20 http/1.1\r\n")


async def test_an_answer_in_pieces_comes_in_pieces_and_ends() -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    go_on = asyncio.Event()

    class Pausing(Service):
        async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(chunked + b"2\r\nab\r\n")
            await go_on.wait()
            writer.write(b"1\r\nc\r\n0\r\n\r\n")

    sent = await handed_on(Pausing(), note=_noting(go_on))
    bodies = [message for message in sent if message["type"] == "http.response.body"]
    assert b"".join(message["body"] for message in bodies) == b"abc"
    assert [message.get("more_body", False) for message in bodies] == [True] * (len(bodies) - 1) + [False]
    assert (b"transfer-encoding", b"chunked") not in sent[0]["headers"]


@pytest.mark.parametrize("pieces", [(b"hello",), (b"he", b"llo"), (b"he", b"", b"llo"), (b"", b"hello")], ids=str)
async def test_a_body_arrives_as_it_was_announced(pieces: tuple[bytes, ...]) -> None:
    announced, in_chunks = Service(OK), Service(OK)
    await handed_on(announced, "POST", *pieces, headers=LENGTH)
    await handed_on(in_chunks, "POST", *pieces, headers=CHUNKED)
    assert announced.bodies == [b"hello"]
    assert in_chunks.bodies == [b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in pieces if one) + b"0\r\n\r\n"]


@pytest.mark.parametrize("headers", [LENGTH, CHUNKED], ids=["announced", "in chunks"])
async def test_the_largest_body_passes_and_one_byte_more_does_not(
    headers: tuple[tuple[bytes, bytes], ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forward, "MAX_BODY", 5)
    service = Service(OK)
    assert (await handed_on(service, "POST", b"he", b"llo", headers=headers))[0]["status"] == 200
    with pytest.raises(Refused) as refused:
        await handed_on(Service(OK), "POST", b"he", b"llo", b"!", headers=headers)
    assert (refused.value.status, refused.value.headers) == (413, [(b"connection", b"close")])


async def test_a_body_announced_too_large_is_refused_before_any_of_it_is_asked_for() -> None:
    service = Service(OK)
    with pytest.raises(Refused) as refused:
        await handed_on(service, "POST", headers=((b"content-length", str(MAX_BODY + 1).encode()),))
    assert (refused.value.status, service.heads) == (413, [])


@pytest.mark.parametrize(
    ("method", "pieces", "headers", "asked"),
    [
        ("GET", (), (), 2),
        ("HEAD", (), (), 2),
        ("OPTIONS", (), (), 2),
        ("GET", (), ((b"content-length", b"0"),), 2),
        ("DELETE", (), (), 1),
        ("POST", (), (), 1),
        ("POST", (b"hello",), LENGTH, 1),
        ("GET", (b"hello",), LENGTH, 1),
    ],
)
async def test_only_what_changes_nothing_and_has_no_body_is_asked_once_more_when_its_connection_ends(
    method: str, pieces: tuple[bytes, ...], headers: tuple[tuple[bytes, bytes], ...], asked: int
) -> None:
    service = Service(b"", b"")
    with pytest.raises(Refused) as refused:
        await handed_on(service, method, *pieces, headers=headers)
    assert (refused.value.status, len(service.heads)) == (503, asked)
    if asked == 2:
        answered = Service(b"", b"HTTP/1.1 204 No Content\r\n\r\n")
        assert (await handed_on(answered, method))[0]["status"] == 204


async def test_an_answer_that_has_begun_is_neither_asked_for_again_nor_taken_for_whole() -> None:
    half = asyncio.Event()

    class Ending(Service):
        async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab")
            await half.wait()

    service = Ending()
    with pytest.raises(Unanswered):
        await handed_on(service, note=_noting(half))
    assert len(service.heads) == 1


async def test_a_value_that_would_end_its_header_is_the_client_s_fault() -> None:
    service = Service(OK)
    with pytest.raises(Refused) as refused:
        await handed_on(service, headers=((b"x-a", b"a\nb"),))
    assert (refused.value.status, service.heads) == (400, [])


async def test_a_request_without_content_has_its_path_and_its_host() -> None:
    async def asked(url: str, *headers: tuple[bytes, bytes]) -> str:
        service, upstream = Service(OK), Upstream()
        async with asyncio.timeout(60), support.answering(service.serve) as address:
            answer = await upstream.request("GET", address + url, headers)
            assert (answer.status, answer.content) == (200, b"ok")
            upstream.close()
        return service.heads[0].replace(address.removeprefix("http://"), "here")

    assert await asked("") == "get / http/1.1\r\nhost: here\r\n\r\n"
    assert await asked("/a?b=1") == "get /a?b=1 http/1.1\r\nhost: here\r\n\r\n"
    assert await asked("/a", (b"host", b"another")) == "get /a http/1.1\r\nhost: another\r\n\r\n"
