"""Whether a part is ready: one question over the wire, without a client library."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

Ready = Callable[[], Awaitable[bool]]


def http(port: int, path: str) -> Ready:
    """Ready when GET of the path answers 200. A connection may wait in the emulator's own listening socket
    meanwhile.
    """

    async def ready() -> bool:
        request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n"
        answer = await ask(port, request.encode(), b"\r\n", timeout=5)
        return answer.split(b" ", 2)[1:2] == [b"200"]

    return ready


def redis(url: Callable[[], str]) -> Ready:
    """Ready when it takes the password and answers PING (not while it loads its file)."""

    async def ready() -> bool:
        parts = urlsplit(url())
        answer = await ask(parts.port or 6379, f"AUTH {parts.password}\r\nPING\r\n".encode(), b"+PONG\r\n", timeout=1)
        return answer.startswith(b"+OK")

    return ready


async def ask(port: int, request: bytes, until: bytes, timeout: float) -> bytes:  # noqa: ASYNC109
    """What a loopback port answers, up to and with `until`; nothing when it does not within `timeout` seconds."""
    try:
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(request)
                return await reader.readuntil(until)
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        return b""
