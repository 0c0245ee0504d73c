"""The gateway's connections: kept where they can be used again, closed where not, and as many as there are requests."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest

from emulator.network import upstream
from emulator.network.connection import Unanswered
from emulator.network.upstream import Upstream


class Service:
    """Answers each request with the number of its connection, when `go_on` is set."""

    def __init__(self) -> None:
        self.connections = 0
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.writers: list[asyncio.StreamWriter] = []

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        body = str(self.connections).encode()
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                await self.go_on.wait()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        except asyncio.IncompleteReadError:
            writer.close()

    def hang_up(self) -> None:
        for writer in self.writers:
            writer.close()


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[Service, str, Upstream]]:
    service, client = Service(), Upstream()
    server = await asyncio.start_server(service.answer, "127.0.0.1", 0)
    async with server:
        yield service, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", client
        client.close()
        service.hang_up()


async def ask_at_once(service: Service, url: str, client: Upstream, number: int) -> set[bytes]:
    """Send so many requests, none of which is answered before all are there; what they were answered."""
    service.go_on.clear()
    asked = [asyncio.create_task(client.request("GET", url)) for _ in range(number)]
    while service.connections < number:  # noqa: ASYNC110 - a count has no event
        await asyncio.sleep(0.001)
    service.go_on.set()
    return {(await one).content for one in asked}


async def test_one_after_another_over_one_connection() -> None:
    async with serving() as (service, url, client):
        for _ in range(3):
            assert (await client.request("GET", url)).content == b"1"
        assert service.connections == 1


async def test_as_many_connections_as_requests_and_no_more_kept_than_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream, "KEPT", 5)
    async with serving() as (service, url, client):
        assert len(await ask_at_once(service, url, client, 20)) == 20
        assert client.kept == 5


async def test_a_connection_that_the_service_has_closed_is_not_used_again() -> None:
    async with serving() as (service, url, client):
        assert (await client.request("GET", url)).content == b"1"
        service.hang_up()
        await asyncio.sleep(0.01)
        assert (await client.request("GET", url)).content == b"2"


async def test_an_answer_that_is_not_read_to_its_end_closes_its_connection() -> None:
    async with serving() as (_, url, client):
        at = urlsplit(url)
        async with client.connection(at.hostname or "", at.port or 0) as connection:
            connection.ask(b"GET", upstream.head_of(b"GET", b"/", [(b"host", b"here")]))
            await connection.head()
        assert client.kept == 0
        assert (await client.request("GET", url)).content == b"2"


async def test_a_service_that_is_not_there_is_an_error_of_the_network() -> None:
    client = Upstream()
    with pytest.raises(Unanswered):
        await client.request("GET", "http://127.0.0.1:9/")
    assert client.kept == 0


async def test_connections_that_no_one_used_for_long_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream, "EXPIRY", 0.1)
    async with serving() as (service, url, client):
        await ask_at_once(service, url, client, 3)
        assert client.kept == 3
        for _ in range(500):
            await client.request("GET", url)  # over the one that was used last
            if client.kept == 1:
                break
            await asyncio.sleep(0.01)
        assert client.kept == 1


async def test_a_connection_that_no_one_used_for_long_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its service may just be ending it: a request that goes into it then is lost."""
    async with serving() as (_, url, client):
        assert (await client.request("GET", url)).content == b"1"
        monkeypatch.setattr(upstream, "EXPIRY", 0.0)
        assert (await client.request("GET", url)).content == b"2"


async def test_who_does_not_take_a_connection_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream, "PATIENCE", 0.05)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        address = full.getsockname()
        with socket.create_connection(address), pytest.raises(Unanswered, match="no connection"):
            async with asyncio.timeout(30):
                await Upstream().request("GET", f"http://127.0.0.1:{address[1]}/")
