"""Redis clients over a server that lets go of its connections, on the event loop that services run on."""

import asyncio
import socket
import struct
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop
from redis.exceptions import NoPermissionError, RedisError

from shared.errors import Unavailable
from shared.redis import PATIENCE, connect, connect_async, guard, within


class Server:
    """Answers whatever it is sent with +PONG; connections can be cut, and refused after they were accepted."""

    def __init__(self) -> None:
        self.open: set[asyncio.StreamWriter] = set()
        self.refuses = False
        self.url = ""

    async def start(self) -> asyncio.Server:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}?protocol=2"
        return server

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuses:
            reset(writer)
            return
        self.open.add(writer)
        while data := await reader.read(65536):
            # One answer for each command: an array begins with "*" at a line's start.
            commands = data.count(b"\r\n*") + data.startswith(b"*")
            writer.write(b"+PONG\r\n" * commands)
        self.open.discard(writer)
        writer.close()

    def cut(self) -> None:
        for writer in self.open:
            reset(writer)
        self.open.clear()


@pytest.mark.parametrize("make", [connect, connect_async])
def test_a_client_reads_text_tries_once_more_and_says_nothing_of_itself(make: Callable[[str], Any]) -> None:
    given = make("redis://127.0.0.1:1").connection_pool.connection_kwargs
    assert (given["decode_responses"], given["driver_info"]) == (True, None)
    assert given["retry"].get_retries() == 1
    assert (given["socket_connect_timeout"], given["socket_timeout"]) == (PATIENCE, PATIENCE)


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with a reset instead of a good-bye, as a proxy or a dying machine does."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def run(body: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run on uvloop, as the host does: it answers a write to a closed connection with RuntimeError."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(body())


def test_a_connection_that_was_cut_is_replaced() -> None:
    async def body() -> None:
        server = Server()
        async with await server.start():
            client = connect_async(server.url)
            for _ in range(20):
                assert await client.ping()
                server.cut()
                await asyncio.sleep(0.01)
            await client.aclose()
            server.cut()

    run(body)


@pytest.mark.parametrize("seconds", [0.0, 0.01])
def test_a_server_that_refuses_is_unavailable(seconds: float) -> None:
    async def body() -> None:
        server = Server()
        async with await server.start():
            client = connect_async(server.url)
            await client.ping()
            server.refuses = True
            server.cut()
            await asyncio.sleep(seconds)
            for _ in range(20):
                with pytest.raises(Unavailable), guard("broker"):
                    await client.ping()
            await client.aclose()

    run(body)


@pytest.mark.parametrize(("error", "said"), [(NoPermissionError("no xadd"), True), (RedisError("away"), False)])
def test_what_a_user_may_not_do_is_said_and_no_outage_that_passes(
    caplog: pytest.LogCaptureFixture, error: Exception, said: bool
) -> None:
    with pytest.raises(Unavailable), guard("broker"):
        raise error
    assert ("the broker refuses" in caplog.text) is said


async def test_a_request_waits_for_a_server_that_hangs_only_so_long() -> None:
    async with asyncio.timeout(60):
        with pytest.raises(Unavailable, match="broker"):
            async with within("broker", 0.01):
                await asyncio.Event().wait()
