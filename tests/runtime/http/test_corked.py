"""A head and a body that follow each other leave together; neither waits for the other."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from runtime.http.corked import Corked


@asynccontextmanager
async def corked() -> AsyncIterator[tuple[Corked, socket.socket]]:
    """A connection, and its other end."""
    ours, theirs = socket.socketpair()
    loop = asyncio.get_running_loop()
    with theirs:
        theirs.setblocking(False)
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
        yield Corked(transport, loop), theirs
        transport.close()
        await asyncio.sleep(0)


@pytest.mark.parametrize("body", [b"body", b""])
async def test_what_follows_at_once_leaves_with_what_was_before(body: bytes) -> None:
    async with corked() as (out, there):
        out.write(b"head ")
        with pytest.raises(BlockingIOError):
            there.recv(100)
        out.write(body)
        assert there.recv(100) == b"head " + body
        await asyncio.sleep(0)
        out.write(b"next")
        await asyncio.sleep(0)
        assert there.recv(100) == b"next"


async def test_a_head_that_nothing_follows_leaves_in_the_same_turn() -> None:
    async with corked() as (out, there):
        out.write(b"head")
        await asyncio.sleep(0)
        assert there.recv(100) == b"head"


async def test_what_is_held_leaves_before_the_connection_ends() -> None:
    async with corked() as (out, there):
        out.write(b"head")
        out.close()
        assert out.is_closing()
        assert there.recv(100) == b"head"


async def test_of_a_connection_that_has_ended_meanwhile_nothing_is_said() -> None:
    async with corked() as (out, there):
        out.write(b"head")
        out._transport.abort()
        await asyncio.sleep(0)
        assert there.recv(100) == b""
