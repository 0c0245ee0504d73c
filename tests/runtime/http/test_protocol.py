"""The connection itself: what is not a request, requests that could be read in two ways, and clients without haste."""

import asyncio
import json
import re
import socket
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn
from msgspec import Struct

from runtime.http import patience, protocol
from runtime.http.cors import Cors
from runtime.http.protocol import ProblemProtocol
from runtime.http.server import Server
from tests.support import until


class Echo:
    """Answers what it was asked; /wait not before `go`, /unread without reading, /early before reading, /endless without an end,
    /listen never: it waits until the client has left.
    """

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.asked: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked.append(scope["path"])
        body = b""
        if scope["path"] == "/early":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
            await send({"type": "http.response.body", "body": b"early", "more_body": True})
        if scope["path"] != "/unread":
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return
                body += message["body"]
                if not message["more_body"]:
                    break
        if scope["path"] == "/wait":
            await self.go.wait()
        if scope["path"] == "/listen":
            assert (await receive())["type"] == "http.disconnect"
            self.go.set()
            return
        heard = {"path": scope["path"], "query": scope["query_string"].decode(), "body": body.decode()}
        content = json.dumps(heard).encode()
        if scope["path"] == "/endless":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for _ in range(1000):
                await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
                await asyncio.sleep(0)
            return
        headers = [(b"content-length", str(len(content)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": content})


class Running(Struct):
    """A server and where it listens."""

    server: Server
    app: Any
    port: int

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def raw(self, *pieces: bytes) -> tuple[int, dict[str, str], Any]:
        """Send bytes that no HTTP library would; return status, headers and body of the first answer."""
        reader, writer = await self.connect()
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0.02)
        try:
            return await answer(reader)
        finally:
            writer.close()


async def answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], Any]:
    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)).decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return int(head[0].split(" ")[1]), headers, json.loads(body) if body else None


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    listening = socket.create_server(("127.0.0.1", 0))
    app = Echo()
    server = Server(
        uvicorn.Config(app, http=ProblemProtocol, lifespan="off", log_config=None, ws="none", access_log=False)
    )
    task = asyncio.create_task(server.serve([listening]))
    while not server.started:  # noqa: ASYNC110 - uvicorn tells no one
        await asyncio.sleep(0.01)
    yield Running(server, app, listening.getsockname()[1])
    app.go.set()
    for connection in list(server.server_state.connections):
        connection.transport.abort()  # type: ignore[union-attr] # uvicorn allows other protocols
    server.should_exit = True
    server._told.set()
    await task


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No connection ends because its client took too long: what ends one does so for a reason of its own."""
    for name in ("HEAD_WITHIN", "BODY_WITHIN", "IDLE", "STALLED"):
        monkeypatch.setattr(patience, name, 3600.0)


GET = b"GET /x HTTP/1.1\r\nHost: a\r\n"
POST = b"POST /x HTTP/1.1\r\nHost: a\r\n"


@pytest.mark.parametrize(
    ("request_", "status", "kind"),
    [
        pytest.param(b"nonsense\r\n\r\n", 400, "bad-input", id="nonsense"),
        pytest.param(b"GET /x\r\n\r\n", 505, "http-version-not-supported", id="0.9"),
        pytest.param(b"GET /x HTTP/0.9\r\nHost: a\r\n\r\n", 505, "http-version-not-supported", id="0.9 named"),
        pytest.param(b"GET /x HTTP/2.0\r\nHost: a\r\n\r\n", 505, "http-version-not-supported", id="2.0"),
        pytest.param(b"GET /x HTTP/1.1\r\n\r\n", 400, "bad-input", id="no host"),
        pytest.param(GET + b"Host: b\r\n\r\n", 400, "bad-input", id="two hosts"),
        pytest.param(b"GET /x HTTP/1.1\r\nHost: a b/c\r\n\r\n", 400, "bad-input", id="a host that is none"),
        # Nothing that waits for an answer in its own protocol waits here.
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "bad-input", id="TLS"),
        pytest.param(b"\0\0\0\x08\x04\xd2\x16\x2f", 400, "bad-input", id="PostgreSQL"),
        pytest.param(b"*1\r\n$4\r\nPING\r\n", 400, "bad-input", id="Redis"),
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", 400, "bad-input", id="SSH"),
        pytest.param(GET + b"Authorization: a\r\nAuthorization: b\r\n\r\n", 400, "bad-input", id="two tokens"),
        pytest.param(GET + b"A: b\n\r\n\r\n", 400, "bad-input", id="line feed alone"),
        pytest.param(GET + b" folded: b\r\n\r\n", 400, "bad-input", id="folded"),
        pytest.param(GET + b"A : b\r\n\r\n", 400, "bad-input", id="blank before the colon"),
        pytest.param(GET + b"A: a\0b\r\n\r\n", 400, "bad-input", id="nul"),
        pytest.param(b"GET /\xc6\xe4 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad-input", id="CP949 in the address"),
        pytest.param(b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414, "address-too-long", id="line"),
        pytest.param(b"GET /" + b"a" * 9000, 414, "address-too-long", id="a line without an end"),
        pytest.param(GET + b"A: " + b"a" * 40_000 + b"\r\n\r\n", 431, "headers-too-large", id="headers"),
        pytest.param(GET + b"A: b\r\n" * 8000, 431, "headers-too-large", id="headers without an end"),
        pytest.param(POST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\n1", 400, "bad-input", id="two lengths"),
        pytest.param(POST + b"Content-Length: +1\r\n\r\n1", 400, "bad-input", id="length with a sign"),
        pytest.param(POST + b"Content-Length: 0x1\r\n\r\n1", 400, "bad-input", id="length in hexadecimal"),
        pytest.param(
            POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "bad-input", id="both"
        ),
        pytest.param(
            b"POST /x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "bad-input", id="chunks in 1.0"
        ),
        pytest.param(POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 501, "not-implemented", id="another coding"),
        pytest.param(POST + b"Transfer-Encoding: identity\r\n\r\n", 501, "not-implemented", id="identity"),
        pytest.param(POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400, "bad-input", id="chunked, nearly"),
        pytest.param(
            GET + b"X-Request-Id: r\r\nConnection: close, X-Request-Id\r\n\r\n", 400, "bad-input", id="hop by hop"
        ),
    ],
)
async def test_what_can_be_read_in_two_ways_is_refused_by_a_problem_and_no_function_hears_of_it(
    running: Running, request_: bytes, status: int, kind: str
) -> None:
    answered, headers, body = await running.raw(request_)
    assert (answered, headers["content-type"]) == (status, "application/problem+json")
    assert (body["status"], body["type"], body["instance"]) == (status, f"urn:eco2:{kind}", headers["x-request-id"])
    assert headers["connection"] == "close"
    assert not running.app.asked


async def test_who_asks_for_https_is_told_so_at_once_and_a_wrong_host_is_named_as_one(running: Running) -> None:
    _, _, tls = await running.raw(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    assert "http://, not https://" in tls["detail"]
    _, _, host = await running.raw(b"GET /x HTTP/1.1\r\nHost: a b/c\r\n\r\n")
    assert [error["field"] for error in host["errors"]] == ["host"]


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        pytest.param(b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\nOrigin: {}\r\n\r\n", 414, id="line"),
        pytest.param(GET + b"Origin: {}\r\nA: " + b"a" * 40_000 + b"\r\n\r\n", 431, id="headers"),
        pytest.param(GET + b"origin:{} \r\nHost: b\r\n\r\n", 400, id="two hosts"),
        pytest.param(POST + b"Origin: {}\r\nTransfer-Encoding: identity\r\n\r\n", 501, id="coding"),
    ],
)
async def test_a_page_of_an_allowed_origin_can_read_what_the_connection_refuses(
    running: Running, request_: bytes, status: int
) -> None:
    page, other = b"http://localhost:5173", b"http://stranger.example"
    running.app.cors = Cors("http://localhost:*")
    answered, headers, _ = await running.raw(request_.replace(b"{}", page))
    assert (answered, headers["access-control-allow-origin"]) == (status, page.decode())
    assert "X-Request-Id" in headers["access-control-expose-headers"]
    answered, headers, _ = await running.raw(request_.replace(b"{}", other))
    assert (answered, headers["vary"]) == (status, "Origin")
    assert "access-control-allow-origin" not in headers


CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "body",
    [
        b"3;a=b\r\nabc\r\n0\r\n\r\n",
        b"3;" + b"x" * 100_000,
        b"3 \r\nabc\r\n0\r\n\r\n",
        b"+3\r\nabc\r\n0\r\n\r\n",
        b"0x3\r\nabc\r\n0\r\n\r\n",
        b"3\nabc\r\n0\r\n\r\n",
        b"000000000003\r\nabc\r\n0\r\n\r\n",
        b"ffffffffffff\r\nabc\r\n0\r\n\r\n",
        b"3\r\nabcd\r\n0\r\n\r\n",
        b"3\r\nabc\r\n0\r\nTrailer: x\r\n\r\n",
        b"3\r\nabc\r\n0;x\r\n\r\n",
        b"\r\n",
    ],
    ids=lambda body: repr(body[:24]),
)
async def test_a_chunk_has_a_size_and_nothing_else(running: Running, body: bytes) -> None:
    for pieces in ([CHUNKED + body], [CHUNKED, body[:1], body[1:]]):
        status, headers, problem = await running.raw(*pieces)
        assert (status, problem["type"]) == (400, "urn:eco2:bad-input")
        assert headers["connection"] == "close"


async def test_a_body_in_chunks_is_read_however_it_is_cut(running: Running) -> None:
    message = CHUNKED + b"3\r\nabc\r\nA\r\ndefghijklm\r\n0\r\n\r\n"
    for cut in range(len(CHUNKED) - 2, len(message)):
        status, _, heard = await running.raw(message[:cut], message[cut:])
        assert (status, heard["body"]) == (200, "abcdefghijklm")


async def test_an_address_in_raw_utf_8_is_what_its_percent_encoding_is(running: Running) -> None:
    status, _, heard = await running.raw("GET /한글?q=페트병&x=%25 HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    assert status == 200
    assert heard["path"] == "/한글"
    assert heard["query"] == "q=%ED%8E%98%ED%8A%B8%EB%B3%91&x=%25"


async def test_http_1_0_is_answered_and_the_connection_ends(running: Running, patient: None) -> None:
    reader, writer = await running.connect()
    writer.write(b"GET /x HTTP/1.0\r\n\r\n")
    status, headers, _ = await answer(reader)
    assert (status, headers["connection"]) == (200, "close")
    assert await asyncio.wait_for(reader.read(), 60) == b""
    writer.close()


async def test_an_empty_line_before_a_request_is_none(running: Running) -> None:
    assert (await running.raw(b"\r\n\r\n" + GET + b"\r\n"))[0] == 200


async def test_requests_sent_ahead_are_answered_in_their_order_one_at_a_time(running: Running) -> None:
    reader, writer = await running.connect()
    ahead = b"".join(
        b"POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n%02d" % (number, number) for number in range(50)
    )
    writer.write(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n" + ahead)
    await asyncio.sleep(0.1)
    # None of the others has begun.
    assert running.app.asked == ["/wait"]
    running.app.go.set()
    assert (await answer(reader))[2]["path"] == "/wait"
    for number in range(50):
        _, _, heard = await answer(reader)
        assert (heard["path"], heard["body"]) == (f"/{number}", f"{number:02d}")
    writer.close()


async def test_one_who_sends_a_thousand_at_once_does_not_keep_others_waiting(running: Running) -> None:
    reader, writer = await running.connect()
    writer.write((b"GET /many HTTP/1.1\r\nHost: a\r\n\r\n") * 1000)
    while len(running.app.asked) < 10:  # noqa: ASYNC110 - in the middle of it
        await asyncio.sleep(0)
    assert (await running.raw(GET + b"\r\n"))[0] == 200
    assert running.app.asked.count("/many") < 1000, "another was answered before all of them"
    for _ in range(1000):
        await answer(reader)
    writer.close()


async def test_a_client_that_sends_ahead_without_end_is_not_read_without_end(running: Running) -> None:
    reader, writer = await running.connect()
    writer.write(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
    for _ in range(100):
        writer.write(GET + b"A: " + b"a" * 20_000 + b"\r\n\r\n")
    await asyncio.sleep(0.3)
    (connection,) = running.server.server_state.connections
    assert isinstance(connection, ProblemProtocol)
    assert len(connection._ahead) < 1_000_000
    running.app.go.set()
    for _ in range(101):
        assert (await answer(reader))[0] == 200
    writer.close()


@pytest.mark.parametrize("late", [False, True], ids=["with its request", "while it waits"])
async def test_a_client_that_sends_no_more_gets_the_answers_to_what_it_has_asked(running: Running, late: bool) -> None:
    reader, writer = await running.connect()
    body = b"POST /y HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab"
    writer.write(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n" + body)
    if not late:
        writer.write_eof()
    while not running.app.asked:  # noqa: ASYNC110 - a list has no event
        await asyncio.sleep(0.001)
    if late:
        writer.write_eof()
    await asyncio.sleep(0.01)
    running.app.go.set()
    said = await asyncio.wait_for(reader.read(), 60)
    assert [json.loads(found)["path"] for found in re.findall(rb"\{.*?\}", said)] == ["/wait", "/y"]
    assert said.count(b"connection: close") == 1
    writer.close()


@pytest.mark.parametrize("early", [False, True], ids=["while someone listens", "before"])
async def test_a_client_that_sends_no_more_has_left_for_who_listens_to_it(running: Running, early: bool) -> None:
    reader, writer = await running.connect()
    writer.write(b"GET /listen HTTP/1.1\r\nHost: a\r\n\r\n")
    if not early:
        while not running.app.asked:  # noqa: ASYNC110 - a list has no event
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.01)
    writer.write_eof()
    assert await asyncio.wait_for(reader.read(), 60) == b""
    await asyncio.wait_for(running.app.go.wait(), 60)
    writer.close()


@pytest.mark.parametrize("more", [b"GET /x HT", b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na"])
async def test_half_a_request_of_a_client_that_sends_no_more_is_none(running: Running, more: bytes) -> None:
    for before in (b"", b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"):
        reader, writer = await running.connect()
        writer.write(before + more)
        writer.write_eof()
        assert (await asyncio.wait_for(reader.read(), 60)).count(b"HTTP/1.1 200") == bool(before)
        writer.close()


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET /x HT",
        GET,
        POST + b"Content-Length: 10\r\n\r\nabc",
        CHUNKED + b"3\r\nab",
    ],
    ids=["nothing", "half a line", "half a head", "half a body", "half a chunk"],
)
async def test_a_client_that_sends_half_a_request_and_waits_is_left(
    running: Running, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(patience, "HEAD_WITHIN", 0.3)
    monkeypatch.setattr(patience, "BODY_WITHIN", 0.3)
    reader, writer = await running.connect()
    writer.write(sent)
    assert await asyncio.wait_for(reader.read(), 60) == b""
    writer.close()


async def test_a_byte_now_and_then_does_not_prolong_a_head_or_a_body(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "HEAD_WITHIN", 0.5)
    monkeypatch.setattr(patience, "BODY_WITHIN", 0.5)

    async def dripping(first: bytes) -> None:
        reader, writer = await running.connect()
        writer.write(first)
        ended = asyncio.create_task(reader.read())
        while not ended.done():
            writer.write(b"a")
            await asyncio.sleep(0.05)
        assert await ended == b""
        writer.close()

    await asyncio.wait_for(
        asyncio.gather(dripping(GET + b"A: "), dripping(POST + b"Content-Length: 100000\r\n\r\n")), 60
    )


async def test_an_idle_connection_ends_but_not_while_its_answer_is_made(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "HEAD_WITHIN", 0.3)
    monkeypatch.setattr(patience, "IDLE", 0.3)
    reader, writer = await running.connect()
    writer.write(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
    await asyncio.sleep(2)
    running.app.go.set()
    assert (await answer(reader))[0] == 200
    assert await asyncio.wait_for(reader.read(), 60) == b""
    writer.close()


async def test_a_client_that_takes_nothing_is_left(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "STALLED", 0.3)
    reader, writer = await running.connect()
    writer.write(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n")
    while not running.server.server_state.connections:  # noqa: ASYNC110 - uvicorn tells no one
        await asyncio.sleep(0.01)
    await until(lambda: not running.server.server_state.connections)
    writer.transport.abort()
    assert reader is not None


async def test_a_process_without_connections_has_no_timer(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "HEAD_WITHIN", 0.05)
    await running.raw(GET + b"\r\n")
    await until(lambda: running.server.server_state.patience._timer is None)  # type: ignore[attr-defined]  # runtime.http.server sets it


async def test_after_an_answer_that_did_not_ask_for_the_body_no_bytes_are_taken_for_the_next_request(
    running: Running, patient: None
) -> None:
    reader, writer = await running.connect()
    writer.write(b"POST /unread HTTP/1.1\r\nHost: a\r\nContent-Length: 300\r\nExpect: 100-continue\r\n\r\n")
    status, _, _ = await answer(reader)
    assert status == 200
    writer.write(b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
    assert await asyncio.wait_for(reader.read(), 60) == b""
    assert running.app.asked == ["/unread"]
    writer.close()


async def test_a_body_that_nobody_reads_is_let_go_by_and_the_connection_kept(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "_UNWANTED", 400)  # of each
    reader, writer = await running.connect()
    for _ in range(2):
        writer.write(b"POST /unread HTTP/1.1\r\nHost: a\r\nContent-Length: 300\r\n\r\n")
        assert (await answer(reader))[0] == 200
        writer.write(b"GET /inside" + b"x" * 250)
        await asyncio.sleep(0.05)
        writer.write(b"x" * 39 + GET + b"\r\n")
        assert (await answer(reader))[2]["path"] == "/x"
    assert running.app.asked == ["/unread", "/x"] * 2
    writer.close()


async def test_after_a_body_that_nobody_read_an_idle_connection_ends_too(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "IDLE", 0.3)
    reader, writer = await running.connect()
    writer.write(b"POST /unread HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n")
    assert (await answer(reader))[0] == 200
    writer.write(b"abc")
    assert await asyncio.wait_for(reader.read(), 60) == b""
    writer.close()


async def test_into_an_answer_that_has_begun_no_refusal_is_written(running: Running, patient: None) -> None:
    reader, writer = await running.connect()
    writer.write(b"POST /early HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    await asyncio.wait_for(reader.readuntil(b"early"), 60)
    writer.write(b"no size\r\n")
    assert await asyncio.wait_for(reader.read(), 60) == b""
    writer.close()


async def test_a_body_that_nobody_reads_is_not_read_without_end(
    running: Running, patient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "_UNWANTED", 100_000)
    reader, writer = await running.connect()
    writer.write(b"POST /unread HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999\r\n\r\n")
    assert (await answer(reader))[0] == 200
    ended = asyncio.create_task(reader.read())
    with pytest.raises(ConnectionError):
        async with asyncio.timeout(60):
            while True:
                writer.write(b"x" * 65536)
                await writer.drain()
    ended.cancel()
    writer.transport.abort()


async def test_an_upgrade_that_is_not_spoken_is_answered_and_nothing_after_it_is_read(
    running: Running, patient: None
) -> None:
    reader, writer = await running.connect()
    writer.write(GET + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n" + b"GET /after HTTP/1.1\r\nHost: a\r\n\r\n")
    status, headers, _ = await answer(reader)
    assert (status, headers["connection"]) == (200, "close")
    assert await asyncio.wait_for(reader.read(), 60) == b""
    assert running.app.asked == ["/x"]
    writer.close()


def test_the_protocol_keeps_idle_connections_longer_than_the_load_balancer() -> None:
    from runtime.services import ROOT

    ingress = (ROOT / "k8s/templates/ingress.yaml").read_text()
    seconds = re.search(r"idle_timeout.timeout_seconds=(\d+)", ingress)
    assert seconds is not None
    assert int(seconds[1]) < patience.IDLE


async def test_time_in_which_the_process_stood_still_counts_against_no_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "HEAD_WITHIN", 0.1)
    given_up = asyncio.Event()

    class Slow:
        def give_up(self) -> None:
            given_up.set()

    waits = patience.Patience()
    waits.head(Slow())
    time.sleep(0.5)  # noqa: ASYNC251 - the loop is to be held up
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not given_up.is_set()
    await asyncio.wait_for(given_up.wait(), 20)
