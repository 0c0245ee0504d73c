"""How commands reach a running emulator: JSON lines over loopback TCP, with a token that is in its 0600 file.

One request a connection: `{"token": ..., "do": "status", ...}`. Answers: any number of `{"line": "..."}` for a
person, then one `{"ok": true, ...}` or `{"ok": false, "error": "..."}`.
"""

import asyncio
import contextlib
import hmac
import json
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from emulator.process import CalledWrongly, StartError, alive
from emulator.state.folder import State

FILE = "emulator.json"
Say = Callable[[str], None]
Handler = Callable[[dict[str, Any], Say], Awaitable[dict[str, Any]]]


class NotRunning(StartError):
    """No emulator runs on this state folder. Every command that needs one says it so, with this exit code."""

    exit_code = 3


class Between(NotRunning):
    """It holds the state folder, and can't be asked yet, or any more: a moment later it will be one or the other."""


class ControlServer:
    """The emulator's side. `handle` answers one request, or raises StartError with one line."""

    def __init__(self, handle: Handler) -> None:
        self.handle = handle
        self.token = secrets.token_urlsafe(24)
        self.port = 0
        self.server: asyncio.Server | None = None

    async def start(self) -> None:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]

    def close(self) -> None:
        if self.server is not None:
            self.server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def send(value: dict[str, Any]) -> None:
            writer.write(json.dumps(value).encode() + b"\n")

        try:
            request = json.loads(await reader.readline())
            if not isinstance(request, dict) or not hmac.compare_digest(str(request.get("token")), self.token):
                send({"ok": False, "error": "wrong token"})
            else:
                send(await self.handle(request, lambda line: send({"line": line})) | {"ok": True})
        except StartError as error:
            send({"ok": False, "error": str(error), "wrong": isinstance(error, CalledWrongly)})
        except (ValueError, OSError, msgspec.MsgspecError) as error:
            send({"ok": False, "error": f"{type(error).__name__}: {error}"})
        finally:
            with contextlib.suppress(OSError):
                await writer.drain()
            writer.close()


def find(state: State) -> dict[str, Any]:
    """What the running emulator wrote about itself. NotRunning when there is none."""
    about = state.read_json(FILE, dict[str, Any])
    whole = about is not None and {"pid", "gateway", "control", "token"} <= about.keys()
    if not whole and (holder := state.holder()) is not None:
        if not (state.path / FILE).exists():
            raise Between(f"the emulator on {state.path} is just starting, or ending")
        raise StartError(
            f"{state.path / FILE} is damaged, though an emulator (pid {holder}) runs: `kill {holder}` stops it"
        )
    if about is None or not whole or not alive(about["pid"]):
        raise NotRunning(f"nothing runs on {state.path}; `eco2 up` starts it")
    return about


def ask(state: State, do: str, say: Say = print, **more: Any) -> dict[str, Any]:
    """Ask the running emulator and return its answer; its lines meanwhile go to `say`.

    Raises:
        StartError: there is none, or it says no; one line.
    """
    about = find(state)
    try:
        with socket.create_connection(("127.0.0.1", about["control"]), timeout=5) as connection:
            connection.settimeout(None)
            connection.sendall(json.dumps({"token": about["token"], "do": do, **more}).encode() + b"\n")
            with connection.makefile("rb") as answers:
                for line in answers:
                    answer: dict[str, Any] = json.loads(line)
                    if "line" in answer:
                        say(answer["line"])
                    elif answer["ok"]:
                        return answer
                    else:
                        raise (CalledWrongly if answer.get("wrong") else StartError)(answer["error"])
    except OSError as error:
        raise NotRunning(f"the emulator on {state.path} does not answer: {error.strerror or error}") from None
    raise NotRunning(f"the emulator on {state.path} ended meanwhile")


async def follow(path: Path, start: int, pause: float = 0.1) -> AsyncIterator[bytes]:
    """The lines that a file gets from byte `start` on, whole ones only; a file cut short is read from its beginning."""
    rest = b""
    while True:
        try:
            size = path.stat().st_size  # noqa: ASYNC240 - a local file's size is known at once
            if size < start:
                start, rest = 0, b""
            if size > start:
                with path.open("rb") as file:
                    file.seek(start)
                    rest += file.read(1 << 20)
                    start = file.tell()
                *lines, rest = rest.split(b"\n")
                for line in lines:
                    yield line
                continue
        except FileNotFoundError:
            start, rest = 0, b""
        await asyncio.sleep(pause)
