"""HTTP/1.1 as uvicorn speaks it, but strict, one request of a connection at a time, and with no patience without end.

What is not a request gets a problem document like every other error. A request is read only when the one before it has been
answered: a client that sends a thousand at once waits for itself, and others in between.
"""

from __future__ import annotations

import asyncio
import os
import re
from typing import TYPE_CHECKING, Literal

import httptools

from runtime.http import framing
from runtime.http.corked import CorkedProtocol
from shared.errors import BadInput, Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.http.cors import Cors
    from runtime.http.patience import Patience

# A client that sends while its answer is under way is read no further than this, in bytes.
_AHEAD = 64 * 1024
# What is left of a body that no one wants is read as far as this, so that its sender gets to see the answer.
_UNWANTED = 1024 * 1024
# Seconds that a connection stays after a refusal, for the same reason.
_LINGER = 0.5
# Where a head says of which page it is.
_ORIGIN = re.compile(rb"\r\norigin:[ \t]*([!-~]{1,300})[ \t]*\r\n", re.IGNORECASE)


class _Heard(asyncio.Event):
    """Set when there is more to receive; knows whether anybody waits for that."""

    awaited = False
    nothing_more: Callable[[], None] | None = None

    async def wait(self) -> Literal[True]:
        if self.nothing_more is not None and not self.is_set():
            self.nothing_more()
        self.awaited = True
        try:
            return await super().wait()
        finally:
            self.awaited = False


class ProblemProtocol(CorkedProtocol):
    """One connection."""

    patience: Patience
    _chunks: framing.Chunks  # of a body in chunks

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # uvicorn's is narrower too
        super().connection_made(transport)
        self._ahead = b""
        self._reading = b""
        self._left = 0  # bytes of the body that are to come; -1: in chunks
        self._unwanted = 0
        self._begun = False  # the body, of which a client may wait to hear that it is wanted
        self._problem: Problem | None = None
        self._deaf = False
        self._ended = False  # what the client sends
        self.patience = self.server_state.patience  # type: ignore[attr-defined] # runtime.http.server sets it
        self.patience.head(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.patience.forget(self)
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override] # asyncio takes a word, uvicorn gives none
        """The client sends no more. It may wait for the answer to a whole request (as `nc -N` does); for whoever listens to it, a
        request in line or an event stream, it has left.
        """
        waits = self.cycle is not None and not self.cycle.response_complete and not self._left and not self._deaf
        if not waits or self._heard.awaited:
            return False
        self._ended = True
        self._last()
        return True

    def _last(self) -> None:
        """The request under way is the last one of a client that sends no more, unless another is there already."""
        self._heard.nothing_more = self.out.close
        if not self._ahead:
            self.cycle.keep_alive = False

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        if self._ahead:
            data, self._ahead = self._ahead + data, b""
        self._reading = data
        try:
            self._read(data)
        except Problem as problem:
            self._refuse(problem)
        except httptools.HttpParserError:
            # What a callback raises, the parser calls an error of its own.
            self._refuse(self._problem or BadInput("request", "is not valid HTTP"))

    def _read(self, data: bytes) -> None:
        while data:
            if self._left:
                data = self._read_body(data)
            elif self.cycle is not None and not self.cycle.response_complete:
                # The next request, before the answer to this one.
                self._ahead = data
                if len(data) > _AHEAD:
                    self.flow.pause_reading()
                return
            elif data.startswith(b"\r\n"):
                data = data[2:]  # an empty line before a request is none (RFC 9112 §2.2)
            elif (end := framing.head_end(data)) == 0:
                self._ahead = data
                self.patience.head(self)
                if self._ended:
                    self.transport.close()
                return
            else:
                self.patience.met(self)
                self._read_head(data[:end])
                data = data[end:]
        if self._left:
            self.patience.body(self)
        if self._ended:
            self.transport.close() if self._left else self._last()

    def _read_head(self, head: bytes) -> None:
        self._begun = False
        try:
            self.parser.feed_data(framing.readable(head))
        except httptools.HttpParserUpgrade:
            # To nothing that is spoken here. What follows would not be HTTP to the parser.
            self._deaf = True
            self.cycle.keep_alive = False
            self.cycle.more_body = False

    def _read_body(self, data: bytes) -> bytes:
        self._begun = True
        if self._left > 0:
            size = min(self._left, len(data))
            self._left -= size
        else:
            size = self._chunks.take(data)
            if self._chunks.done:
                self._left = 0
        self.parser.feed_data(data[:size])
        answered = self.cycle.response_complete
        if not self._left:
            self.patience.idle(self) if answered else self.patience.met(self)
        elif answered:
            self._unwanted += size
            if self._unwanted > _UNWANTED:
                self._hang_up()
                return b""
        return data[size:]

    def on_headers_complete(self) -> None:
        try:
            self._left = framing.check(self.parser.get_http_version(), self.headers)
        except Problem as problem:
            self._problem = problem
            raise
        self._unwanted = 0
        if self._left < 0:
            self._chunks = framing.Chunks()
        super().on_headers_complete()
        self._heard = self.cycle.message_event = _Heard()

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if not self._left:
            self.patience.idle(self)
        elif not self._begun and self.expect_100_continue:
            # The client may send its next request instead of the body that was not asked for: none could tell which.
            self._hang_up()
            return
        self.flow.resume_reading()
        if self._ahead:
            # Not at once: those who came meanwhile are first.
            self.loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        if not self.transport.is_closing():
            self.data_received(b"")

    def pause_writing(self) -> None:
        super().pause_writing()
        self.patience.stalled(self)

    def resume_writing(self) -> None:
        super().resume_writing()
        self.patience.moving(self)

    def give_up(self) -> None:
        """The client has taken too long."""
        if self.flow.write_paused:
            self.transport.abort()
        else:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        self._refuse(BadInput("request", "is not valid HTTP"))

    def _refuse(self, problem: Problem) -> None:
        """Answer and hang up: no one knows where the next request would begin."""
        # Brings Litestar along, without which the emulator's store starts in half the time.
        from runtime.http import problems

        request_id = os.urandom(16).hex()
        status, _, body = problems.answer(problem, request_id)
        head = [
            f"HTTP/1.1 {status} {problem.title()}",
            *(f"{name.decode()}: {value.decode()}" for name, value in self.server_state.default_headers),
            f"content-type: {problems.MEDIA_TYPE}",
            f"content-length: {len(body)}",
            f"x-request-id: {request_id}",
            *(f"{name.decode()}: {value.decode('latin-1')}" for name, value in self._for_pages()),
            "connection: close",
        ]
        cycle = self.cycle
        if cycle is None or cycle.response_complete or not cycle.response_started:
            self.out.write("\r\n".join([*head, "", ""]).encode() + body)
        if cycle is not None and not cycle.response_complete:
            # Its handler waits for a body that will never be whole.
            cycle.disconnected = True
            cycle.message_event.set()
        self._hang_up()

    def _for_pages(self) -> list[tuple[bytes, bytes]]:
        """What lets a page of another origin read a refusal, as far as the head has come."""
        # uvicorn puts a layer of its own (for X-Forwarded-For) around a service's application.
        cors: Cors | None = getattr(getattr(self.app, "app", self.app), "cors", None)
        if cors is None or not cors.on:
            return []
        origin = _ORIGIN.search(self._reading)
        return cors.headers(origin[1] if origin else None)

    def _hang_up(self) -> None:
        """Listen no more, and close when the client has had time to read: a socket with unread bytes would be reset."""
        self._deaf = True
        self.patience.met(self)
        self.loop.call_later(_LINGER, self.transport.close)
