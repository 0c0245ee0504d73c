"""The gateway's side of a connection to a service: where an answer ends, what is none, and when it may be used again."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import pytest

from emulator.network import connection
from emulator.network.connection import Connection, Cut, Unanswered
from emulator.network.upstream import head_of
from tests import support

HOST = [(b"host", b"here")]
OK = b"HTTP/1.1 200 OK\r\n"


@asynccontextmanager
async def said(*answers: bytes, ends: bool = False) -> AsyncIterator[Connection]:
    """A connection to a service that says these bytes, one after each request; then perhaps ends it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
        if not ends:
            with suppress(ConnectionError):
                await reader.read()

    async with connected(serve) as service:
        yield service


@asynccontextmanager
async def connected(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[Connection]:
    async with asyncio.timeout(60), support.answering(serve) as address:
        parts = urlsplit(address)
        _, service = await asyncio.get_running_loop().create_connection(Connection, parts.hostname, parts.port)
        try:
            yield service
        finally:
            service.close()


async def asked(service: Connection, method: bytes = b"GET") -> tuple[int, bytes]:
    """The status and content of a request's answer, to which an end is made."""
    service.ask(method, head_of(method, b"/", HOST))
    try:
        await service.head()
        return service.status, b"".join([piece async for piece in service.pieces()])
    finally:
        service.end()


@pytest.mark.parametrize(
    ("method", "answer", "content"),
    [
        (b"GET", OK + b"Content-Length: 2\r\n\r\nab", b"ab"),
        (b"GET", OK + b"Content-Length: 0\r\n\r\n", b""),
        (b"GET", OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n", b"ab"),
        (b"GET", OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nX-Sum: 1\r\n\r\n", b"ab"),
        (b"GET", b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\nab", b"ab"),
        (b"GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n", b""),
        (b"HEAD", OK + b"Content-Length: 2\r\n\r\n", b""),
        (b"HEAD", OK + b"Transfer-Encoding: chunked\r\n\r\n", b""),
    ],
)
async def test_where_an_answer_ends_the_next_request_may_be_asked(method: bytes, answer: bytes, content: bytes) -> None:
    async with said(answer, OK + b"Content-Length: 4\r\n\r\nnext") as service:
        assert (await asked(service, method))[1] == content
        assert service.free
        assert await asked(service) == (200, b"next")


@pytest.mark.parametrize(
    ("answer", "ends"),
    [
        (OK + b"Connection: close\r\nContent-Length: 2\r\n\r\nab", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nab", False),
        (OK + b"\r\nab", True),
        (OK + b"Content-Length: 2\r\n\r\nab" + OK + b"Content-Length: 5\r\n\r\nfalse", False),
    ],
    ids=["it says so", "HTTP/1.0", "its end is the answer's", "more than was asked for"],
)
async def test_over_a_connection_that_may_hold_no_other_answer_nothing_is_asked(answer: bytes, ends: bool) -> None:
    async with said(answer, ends=ends) as service:
        assert await asked(service) == (200, b"ab")
        assert not service.free


@pytest.mark.parametrize(
    ("answer", "ends"),
    [
        (b"", True),
        (OK, True),
        (OK + b"Content-Length: 3\r\n\r\nab", True),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", True),
        (b"SSH-2.0-OpenSSH\r\n\r\n", False),
        (OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc", False),
        (OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nab", False),
        (OK + b"X-A: " + b"a" * 70_000, False),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n", False),
    ],
    ids=["nothing", "half a head", "half", "half of chunks", "no HTTP", "two lengths", "both", "large", "upgrade"],
)
async def test_what_is_no_whole_answer_is_an_error_and_the_end_of_the_connection(answer: bytes, ends: bool) -> None:
    async with said(answer, ends=ends) as service:
        with pytest.raises(Unanswered):
            await asked(service)
        assert not service.free


async def test_a_service_that_is_silent_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "PATIENCE", 0.01)
    async with said(b"") as service:
        with pytest.raises(Unanswered, match="too long") as raised:
            await asked(service)
        assert not isinstance(raised.value, Cut)  # what is slow would be slow again


async def test_of_an_answer_that_has_broken_off_already_no_more_is_waited_for() -> None:
    async with said(OK + b"Content-Length: 3\r\n\r\nab", ends=True) as service:
        service.ask(b"GET", head_of(b"GET", b"/", HOST))
        await service.head()
        while service.open:  # noqa: ASYNC110 - what the other side does has no event here
            await asyncio.sleep(0.001)
        assert service.taken() == b"ab"
        with pytest.raises(Cut):
            anext(service.pieces()).send(None)  # at once


async def test_what_a_service_says_unasked_is_no_answer_to_the_next_request() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK + b"Content-Length: 5\r\n\r\nfalse")
        await reader.read()

    async with connected(serve) as service:
        while service.open:  # noqa: ASYNC110 - what the other side says has no event here
            await asyncio.sleep(0.001)
        assert not service.free


async def body(*pieces: bytes, error: Exception | None = None) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
    if error is not None:
        raise error
    await asyncio.Future()


async def test_an_answer_may_come_before_the_request_has_ended_and_is_the_last_of_its_connection() -> None:
    async with said(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nab") as service:
        service.ask(b"POST", head_of(b"POST", b"/", [*HOST, (b"content-length", b"9")]), body(b"x"))
        await service.head()
        assert (service.status, [piece async for piece in service.pieces()]) == (413, [b"ab"])
        sending = service.sending
        service.end()
        assert not service.free
        assert sending is not None
        await asyncio.wait({sending}, timeout=30)
        assert sending.cancelled()


async def test_a_connection_over_which_all_of_a_body_has_gone_is_free_again() -> None:
    async def whole() -> AsyncIterator[bytes]:
        yield b"x"

    async with said(OK + b"Content-Length: 2\r\n\r\nab") as service:
        service.ask(b"POST", head_of(b"POST", b"/", [*HOST, (b"content-length", b"1")]), whole())
        await service.head()
        assert [piece async for piece in service.pieces()] == [b"ab"]
        service.end()
        assert service.free


async def test_what_has_been_taken_is_not_held_any_more() -> None:
    go_on = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK + b"Content-Length: %d\r\n\r\n" % (connection.HELD + 2) + b"x" * connection.HELD)
        await go_on.wait()
        writer.write(b"x")
        await reader.read()

    async with connected(serve) as service:
        service.ask(b"GET", head_of(b"GET", b"/", HOST))
        await service.head()
        pieces, left = service.pieces(), connection.HELD
        while left:
            left -= len(await anext(pieces))
        go_on.set()
        while not service._pieces:  # noqa: ASYNC110 - what comes has no event that is not its taker's
            await asyncio.sleep(0.001)
        assert service._transport.is_reading()


async def test_a_request_that_is_not_whole_ends_its_connection() -> None:
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await reader.read()
        ended.set()

    async with connected(serve) as service:
        service.ask(
            b"POST", head_of(b"POST", b"/", [*HOST, (b"content-length", b"9")]), body(b"x", error=LookupError("why"))
        )
        with pytest.raises(LookupError):
            await service.head()
        await ended.wait()
        service.end()


async def test_an_answer_that_no_one_takes_is_not_read_further() -> None:
    much = connection.HELD * 64
    sent = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK + b"Content-Length: %d\r\n\r\n" % much)
        while sent < much:
            writer.write(b"x" * 65536)
            await writer.drain()
            sent += 65536

    async with connected(serve) as service:
        service.ask(b"GET", head_of(b"GET", b"/", HOST))
        await service.head()
        before = -1
        while sent > before:  # until it can send no more
            before = sent
            await asyncio.sleep(0.2)
        assert sent < much
        taken = 0
        async for piece in service.pieces():
            assert len(piece) < 2 * connection.HELD
            taken += len(piece)
        assert taken == much
        service.end()
        assert service.free


@pytest.mark.parametrize("value", [b"a\r\nX-B: c", b"a\nb", b"a\0b", b"a\x7f"])
def test_a_value_that_would_end_its_header_is_not_sent(value: bytes) -> None:
    with pytest.raises(ValueError, match="control character"):
        head_of(b"GET", b"/", [(b"x-a", value)])
