"""Where requests pass: the gateway's tap, which writes what it sees into the recording that is open."""

import asyncio
import contextlib
import hashlib
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Literal

from emulator.network.refusals import Receive, Scope, Send
from emulator.recording.form import LONGEST_ANSWER, NOT_KEPT, Answer, Body, Exchange, Log
from shared import clock, trace

# As long as what a service takes.
_LONGEST_REQUEST = 1024 * 1024
# The dashboard's own looking, and the probe of the gateway.
_NOT_RECORDED = ("/_emulator", "/_gateway")
_Headers = list[tuple[str, str]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Tap:
    """The gateway's. `held` keeps new requests waiting, `passing` counts those on their way (event streams, which may stay for
    long, do not count)."""

    def __init__(self) -> None:
        self.passing = 0
        self._go = asyncio.Event()
        self._go.set()
        self._log: Log | None = None
        self._watched: set[_Watched] = set()

    @property
    def held(self) -> bool:
        return not self._go.is_set()

    @property
    def recording(self) -> str:
        """The recording that is written, empty for none."""
        return self._log.folder.name if self._log else ""

    def order(self, folder: str, hold: bool) -> None:
        """What the supervisor wants: record into this folder (none where it is empty), and let nobody in for a moment."""
        if self._log is not None and str(self._log.folder) != folder:
            for watched in list(self._watched):  # event streams are written as far as they are
                watched.close()
            self._log.close()
            self._log = None
        if folder and self._log is None and Path(folder).is_dir():
            self._log = Log(Path(folder))
        (self._go.clear if hold else self._go.set)()

    async def watch(self, app: App, scope: Scope, receive: Receive, send: Send, request_id: bytes) -> None:
        """Have `app` answer a request, and see what passes."""
        if scope["path"].startswith(_NOT_RECORDED):
            await app(scope, receive, send)
            return
        await self._go.wait()
        with self._counted() as counted:
            if self._log is None:
                await app(scope, receive, counted(send))
                return
            watched = _Watched(self._log, scope, receive, counted(send), request_id)
            self._watched.add(watched)
            try:
                await app(scope, watched.receive, watched.send)
            finally:
                self._watched.discard(watched)
                watched.write("broken" if not watched.left else "left")

    @contextlib.contextmanager
    def _counted(self) -> Iterator[Callable[[Send], Send]]:
        counts = True
        self.passing += 1

        def uncount() -> None:
            nonlocal counts
            self.passing -= counts
            counts = False

        def counted(send: Send) -> Send:
            async def sending(message: Scope) -> None:
                if message["type"] == "http.response.start" and _is_stream(message["headers"]):
                    uncount()
                await send(message)

            return sending

        try:
            yield counted
        finally:
            uncount()


class _Watched:
    """One request on its way."""

    def __init__(self, log: Log, scope: Scope, receive: Receive, send: Send, request_id: bytes) -> None:
        self.left = False
        self._log, self._scope, self._receive, self._send = log, scope, receive, send
        self._id = request_id.decode("latin-1")
        self._at, self._started = clock.time(), time.perf_counter()
        self._body, self._answer = _Kept(_LONGEST_REQUEST), _Kept(LONGEST_ANSWER)
        self._status, self._headers = 0, list[tuple[bytes, bytes]]()
        self._trace = ""
        self._written = False

    async def receive(self) -> Scope:
        message = await self._receive()
        if message["type"] == "http.request":
            self._body.add(message.get("body", b""))
        elif not self._written:
            self.left = True
        return message

    async def send(self, message: Scope) -> None:
        if message["type"] == "http.response.start":
            self._status, self._headers = message["status"], list(message["headers"])
            self._trace = trace.current()[3:35]
        else:
            self._answer.add(message.get("body", b""))
        await self._send(message)
        if message["type"] == "http.response.body" and not message.get("more_body"):
            self.write("whole")

    def close(self) -> None:
        """The recording ends."""
        if self._status:
            self.write("left")
        self._written = True

    def write(self, ended: Literal["whole", "left", "broken"]) -> None:
        if self._written:
            return
        self._written = True
        path = self._scope["raw_path"] + (b"?" + self._scope["query_string"] if self._scope["query_string"] else b"")
        answer = Answer(
            self._status,
            _text(self._headers),
            self._answer.body(self._log),
            round(time.perf_counter() - self._started, 6),
            ended,
        )
        self._log.write(
            Exchange(
                self._id,
                self._at,
                "gateway",
                self._scope["method"],
                path.decode("latin-1"),
                _text(self._scope["headers"]),
                self._body.body(self._log),
                self._trace,
                answer,
            )
        )


class _Kept:
    """The beginning of a body, with the size and hash of all of it."""

    def __init__(self, most: int) -> None:
        self._most, self._size = most, 0
        self._pieces: list[bytes] = []
        self._hash = hashlib.sha256()

    def add(self, piece: bytes) -> None:
        left = self._most - self._size
        if left > 0:
            self._pieces.append(piece[:left])
        self._size += len(piece)
        self._hash.update(piece)

    def body(self, log: Log) -> Body:
        return log.keep(b"".join(self._pieces), self._size, self._hash.hexdigest())


def _text(headers: list[tuple[bytes, bytes]]) -> _Headers:
    found = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in headers]
    return [(name, value) for name, value in found if name not in NOT_KEPT]


def _is_stream(headers: list[tuple[bytes, bytes]]) -> bool:
    return any(name == b"content-type" and value.startswith(b"text/event-stream") for name, value in headers)
