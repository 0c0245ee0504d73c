"""One connection to a service, as its client: a request at a time, httptools reads the answer."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator

import httptools

from emulator.network.refusals import Headers

# A service that lets so many seconds pass before its answer begins, or between two pieces of it, is away. Event streams begin at
# once, and beat.
PATIENCE = 60.0
# Bytes of an answer that are held for a client who takes them slowly; then no more is read.
HELD = 256 * 1024
# Bytes of an answer's head.
_MAX_HEAD = 64 * 1024
_WITHOUT_BODY = (204, 304)


class Unanswered(Exception):
    """A service is not there, or its answer is none, or is not whole."""


class Cut(Unanswered):
    """The service has ended the connection, as it does with one that was idle when it is loaded anew."""


class Connection(asyncio.Protocol):
    """`status` and `headers` (names in lower case) are there once `head` has come back; then `pieces` gives the content."""

    def __init__(self) -> None:
        self.open = False
        self.sending: asyncio.Task[None] | None = None
        self._free = True
        self._waiter: asyncio.Future[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._parser = httptools.HttpResponseParser(self)
        self._expect(b"")

    def _expect(self, method: bytes) -> None:
        self.status, self.headers = 0, Headers()
        self.complete = self._head = self._interim = self._until_end = self._paused = False
        self._method = method
        self._error: Unanswered | None = None
        self._pieces = deque[bytes]()
        self._held = 0

    # A request

    def ask(self, method: bytes, start: bytes, rest: AsyncIterator[bytes] | None = None) -> None:
        """Send a request: `start` at once, then the pieces of `rest` as they come, in the form that the head announces."""
        self._expect(method)
        self._free = False
        self._transport.write(start)
        if rest is not None:
            self.sending = asyncio.create_task(self._send(rest))
            self.sending.add_done_callback(self._sent)

    async def _send(self, rest: AsyncIterator[bytes]) -> None:
        async for piece in rest:
            self._transport.write(piece)
            await self._writable.wait()

    def _sent(self, sending: asyncio.Task[None]) -> None:
        if not sending.cancelled() and sending.exception() is not None:
            self._fail(Unanswered("the request was not whole"))  # half of one must not be taken for the whole
        self._wake()

    async def head(self) -> None:
        """Until the answer's head is there; an answer may begin before the request has ended.

        Raises:
            Unanswered: it does not come. And whatever `rest` has raised.
        """
        while not self._head:
            if self.sending is not None and self.sending.done():
                self.sending.result()
            self._check()
            await self._wait()

    async def pieces(self) -> AsyncIterator[bytes]:
        """The content as it comes.

        Raises:
            Unanswered: it is not whole.
        """
        while True:
            if self._pieces:
                yield self.taken()
            elif self.complete:
                return
            else:
                self._check()
                await self._wait()

    def taken(self) -> bytes:
        """What of the content has come and was not taken yet."""
        pieces = self._pieces
        taken = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._held = 0
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        return taken

    @property
    def free(self) -> bool:
        """Whether another request may be sent over it."""
        return self.open and self._free

    def end(self) -> None:
        """No more is wanted of the answer. If all of it has come, and all of the request has gone, the connection is free."""
        sent = self.sending is None or self.sending.done()
        if self.sending is not None:
            self.sending.cancel()
            self.sending = None
        if self.complete and self._keep and sent and not self._pieces:
            self._free = True
        else:
            self.close()

    def close(self) -> None:
        if self.open:
            self.open = False
            self._transport.abort()

    # Waiting

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    async def _wait(self) -> None:
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        timer = loop.call_later(PATIENCE, self._fail, Unanswered("nothing came for too long"))
        try:
            await self._waiter
        finally:
            timer.cancel()
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, error: Unanswered) -> None:
        if not self.complete:
            self._error = self._error or error
        self._keep = False
        self.close()
        self._writable.set()
        self._wake()

    # What the transport says

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # uvloop's is no BaseTransport
        self._transport = transport
        self.open = True

    def data_received(self, data: bytes) -> None:
        if self._free:
            self._fail(Unanswered("it spoke without being asked"))
            return
        if not self._head:
            self._held += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(Unanswered(f"its answer is no HTTP: {error}"))
            return
        if not self._head and self._held > _MAX_HEAD:
            self._fail(Unanswered("its answer's head is too large"))
            return
        if self._held > HELD and not self._paused and not self.complete:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        if self._head and self._until_end and not self.complete:
            self.complete, self._keep = True, False
            self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(Cut("it has ended the connection"))

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    # What the parser says

    def on_message_begin(self) -> None:
        if self.complete:
            raise ValueError("more than one answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:  # 100 Continue, 103 Early Hints: another answer follows
            self._interim = True
            self.headers.clear()
            return
        self.status, self._head, self._held = status, True, 0
        given = dict(self.headers)
        length, coding = given.get(b"content-length"), given.get(b"transfer-encoding", b"")
        bodiless = self._method == b"HEAD" or status in _WITHOUT_BODY
        self._until_end = not bodiless and length is None and not coding.lower().endswith(b"chunked")
        closes = b"close" in given.get(b"connection", b"").lower()
        self._keep = not closes and not self._until_end and self._parser.get_http_version() == "1.1"
        if self._method == b"HEAD":
            # httptools can't be told that no content follows, whatever the head says.
            self.complete = True
            self._parser = httptools.HttpResponseParser(self)

    def on_body(self, piece: bytes) -> None:
        if self.complete:
            raise ValueError("content where none may be")
        self._pieces.append(piece)
        self._held += len(piece)

    def on_message_complete(self) -> None:
        if self._interim:
            self._interim = False
        else:
            self.complete = True
