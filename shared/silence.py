"""Tells a database server that has fallen silent from a statement that takes long, and ends the waiting for the first.

A connection in use says nothing until its answer comes. So after a while the server is asked on another one whether it
still answers: if it does, the statement may take its time; if not, the connections are cut, and their requests answer 503.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
import time
from typing import Any

from psycopg import AsyncConnection

# A connection in use for so many seconds may be one to a silent server; all in use are looked at this often. The server has
# so many seconds to prove that it is there: together below two.
SUSPICION = 0.75
LOOK_EVERY = 0.25
PROOF = 0.9
# SSLRequest, which a server answers with one byte before anything else: no password, no backend that starts in earnest.
_ANYBODY = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"

Connection = AsyncConnection[Any]


class Gone:
    """Whether the server has closed an idle connection. One a connection: to make the poll costs as much as to ask it."""

    def __init__(self, connection: Connection) -> None:
        self._poll = select.poll()
        self._poll.register(connection.fileno(), select.POLLIN)

    def __call__(self) -> bool:
        # An idle connection has nothing to say: if its socket is readable, the server said good-bye. One system call
        # where a `SELECT 1` would cost a round trip for every request.
        return bool(self._poll.poll(0))


class Watch:
    """Looks at all connections in use together: a timer for each of them would cost a short read a tenth of its time.

    Attributes:
        heard_at, failed_at: when the server last answered on one of them, and when it last failed to.
    """

    def __init__(self) -> None:
        self._since: dict[Connection, float] = {}
        self.heard_at = self.failed_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._looking: asyncio.Task[None] | None = None

    @property
    def in_use(self) -> int:
        """How many connections are in use; one that is still being made is no one's."""
        return len(self._since)

    def begin(self, connection: Connection) -> None:
        """The connection is in use from now on."""
        self._since[connection] = time.monotonic()
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LOOK_EVERY, self._tick)

    def end(self, connection: Connection, *, heard: bool = True) -> None:
        """It is not any more; `heard`: the server answered to its end."""
        self._since.pop(connection, None)
        if heard:
            self.heard_at = time.monotonic()
        else:
            self.failed_at = time.monotonic()

    def close(self) -> None:
        """Look no more."""
        self._since.clear()
        if self._timer is not None:
            self._timer.cancel()
        if self._looking is not None:
            self._looking.cancel()

    def _tick(self) -> None:
        self._timer = None
        if not self._since:
            return  # an idle process sleeps
        self._timer = asyncio.get_running_loop().call_later(LOOK_EVERY, self._tick)
        long_ago = time.monotonic() - SUSPICION
        suspects = {connection: since for connection, since in self._since.items() if since <= long_ago}
        if suspects and (self._looking is None or self._looking.done()):
            self._looking = asyncio.create_task(self._look(suspects))

    async def _look(self, suspects: dict[Connection, float]) -> None:
        info = next((connection.info for connection in suspects if not connection.closed), None)
        # A busy server proves on another connection that it is there, and would be long in taking a new one.
        answers = info is None or self.heard_at > time.monotonic() - SUSPICION or await _prove(info.host, info.port)
        for connection, since in suspects.items():
            if self._since.get(connection) != since:
                continue  # another use by now
            if answers:
                self._since[connection] = time.monotonic()
            elif not connection.closed:
                _cut(connection)


def _cut(connection: Connection) -> None:
    # Whoever waits for an answer on it sees the end of the stream, as if the server had gone: to cancel the waiting instead
    # would make psycopg ask the silent server to cancel the query, for five seconds more.
    with socket.socket(fileno=os.dup(connection.fileno())) as wire:
        wire.shutdown(socket.SHUT_RDWR)


async def _prove(host: str, port: int) -> bool:
    try:
        async with asyncio.timeout(PROOF):
            if host.startswith("/"):
                reader, writer = await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
            else:
                reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(_ANYBODY)
                return bool(await reader.read(1))
            finally:
                writer.close()
    except OSError:  # TimeoutError is one
        return False
