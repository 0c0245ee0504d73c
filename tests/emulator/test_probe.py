"""Why a part is not ready, as it says so itself"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from emulator import probe
from emulator.probe import SILENT
from tests.support import answering


@asynccontextmanager
async def says(text: bytes, heard: bytes = b"\r\n\r\n") -> AsyncIterator[int]:
    """A server that answers so, once it has heard the end of a question; its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(heard)
        writer.write(text)

    async with answering(serve) as address:
        yield int(address.rpartition(":")[2])


@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        ("200 OK", {"ready": True, "reasons": ["not asked"]}, ""),
        ("503 Service Unavailable", {"reasons": ["it starts", "it waits"]}, "it starts; it waits"),
        ("503 Service Unavailable", {"parts": {"db": "away", "cache": "ok"}}, "db is away"),
        ("503 Service Unavailable", {"reasons": None, "parts": None}, "it answers 503"),
        ("500 Oops", ["no object"], "it answers 500"),
    ],
)
async def test_a_service_is_ready_when_it_answers_200_and_else_says_why(status: str, body: object, why: str) -> None:
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n\r\n".encode()
    async with says(head + json.dumps(body).encode()) as port:
        assert await probe.http(port, "/readyz")() == why


async def test_who_says_nothing_is_silent(free_port: int) -> None:
    assert await probe.http(free_port, "/readyz")() == SILENT
    assert await probe.redis(lambda: f"redis://:x@127.0.0.1:{free_port}/0")() == SILENT
    async with says(b"") as port:
        assert await probe.http(port, "/readyz")() == SILENT
    async with says(b"HTTP/1.1 503 x\r\n\r\nno json") as port:
        assert await probe.http(port, "/readyz")() == "it answers 503"


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"+OK\r\n+PONG\r\n$4\r\nover\r\n", ""),
        (b"-WRONGPASS no\r\n-NOAUTH no\r\n-NOAUTH no\r\n", SILENT),
        (b"+OK\r\n-LOADING it loads\r\n-LOADING it loads\r\n", SILENT),
        (b"-ERR no password is set\r\n+PONG\r\n$4\r\nover\r\n", SILENT),
        (b"+OK\r\n-MISCONF the disk is full\r\n$4\r\nover\r\n", "it answers MISCONF the disk is full"),
    ],
)
async def test_a_redis_is_ready_when_it_takes_the_password_and_can_work_and_else_says_why(
    said: bytes, why: str
) -> None:
    async with says(said, b"AUTH secret\r\nPING\r\nECHO over\r\n") as port:
        assert await probe.redis(lambda: f"redis://:secret@127.0.0.1:{port}/0")() == why
