"""Whether a part is ready: one question over the wire, without a client library. The answer is why not; empty when it is."""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

Probe = Callable[[], Awaitable[str]]
SILENT = "it does not answer"


def http(port: int, path: str) -> Probe:
    """Ready when GET of the path answers 200. A connection may wait in the emulator's own listening socket
    meanwhile.
    """

    async def probe() -> str:
        request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n"
        answer = await ask(port, request.encode(), b"", timeout=5)
        status = answer.split(b" ", 2)[1:2]
        if status == [b"200"]:
            return ""
        return _said(answer.partition(b"\r\n\r\n")[2]) or f"it answers {status[0].decode()}" if status else SILENT

    return probe


def _said(body: bytes) -> str:
    """The reasons that a /readyz gives: sentences, or which of its parts are away."""
    with contextlib.suppress(ValueError, TypeError, AttributeError):
        told = json.loads(body)
        away = [f"{name} is away" for name, state in (told.get("parts") or {}).items() if state == "away"]
        return "; ".join([*map(str, told.get("reasons") or ()), *away])
    return ""


def redis(url: Callable[[], str]) -> Probe:
    """Ready when it takes the password and answers PING: not while it loads its file, or has no disk to write on."""

    async def probe() -> str:
        parts = urlsplit(url())
        request = f"AUTH {parts.password}\r\nPING\r\nECHO over\r\n"
        answer = await ask(parts.port or 6379, request.encode(), b"\r\nover\r\n", timeout=1)
        took, pong, *_ = [*answer.split(b"\r\n"), b"", b""]
        if took != b"+OK" or not pong:
            return SILENT
        # Such as "-MISCONF Errors writing to the AOF file: No space left on device".
        return "" if pong == b"+PONG" else "it answers " + pong.decode(errors="replace").lstrip("-")

    return probe


async def ask(port: int, request: bytes, until: bytes, timeout: float) -> bytes:  # noqa: ASYNC109 - one limit for all of it
    """What a loopback port answers, up to and with `until`, or to its end; nothing when it does not within `timeout` seconds."""
    try:
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(request)
                return await (reader.readuntil(until) if until else reader.read(64 * 1024))
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
    except (OSError, asyncio.IncompleteReadError):  # a TimeoutError is an OSError
        return b""
