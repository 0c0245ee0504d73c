"""The way to one place behind the proxy: its connections, and the faults that hold for them now.

A connection has two halves, and each hands on what it reads to the other: at once while no fault holds, or else piece by piece
in a line of its own.
"""

import asyncio
import contextlib
import random
import socket
import struct
from collections import deque
from collections.abc import Iterable

from emulator.network.links import Fault, Kind, Place

# Pieces on their way under a fault; then the side that sends them waits.
_LINE = 64


class Road:
    """The connections of a link to one place."""

    def __init__(self, place: Place, chance: random.Random) -> None:
        self.place = place
        self.random = chance
        self.faults: tuple[Fault, ...] = ()
        self.connections: set[Connection] = set()
        self._open = asyncio.Event()
        self._open.set()

    def connect(self) -> asyncio.Protocol:
        """Another connection; the answer is its client's half."""
        connection = Connection(self)
        self.connections.add(connection)
        return connection.client

    def set_faults(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        if self.fault("hang"):
            self._open.clear()
        else:
            self._open.set()
        if self.fault("cut"):
            self.reset()

    def fault(self, kind: Kind) -> Fault | None:
        return next((fault for fault in self.faults if fault.kind == kind), None)

    def latency(self) -> float:
        slow = [fault for fault in self.faults if fault.kind == "latency"]
        return sum(max(0.0, fault.seconds + self.random.uniform(-fault.spread, fault.spread)) for fault in slow)

    async def unhung(self) -> None:
        await self._open.wait()

    async def suffer(self, size: int, end: Kind) -> None:
        """Hold up a piece of so many bytes as the faults do. EOFError where one of the kind `end` takes it."""
        await self.unhung()
        for fault in self.faults:
            if fault.kind == end and self.random.random() < fault.chance:
                raise EOFError
            if fault.kind == "throttle" and fault.rate > 0:
                await asyncio.sleep(size / fault.rate)

    def reset(self) -> None:
        for connection in list(self.connections):
            connection.reset()


class Connection:
    """A client's connection and its way on."""

    def __init__(self, road: Road) -> None:
        self.road = road
        self.client, self.server = _Half(self, "reset"), _Half(self, "swallow")
        self.client.other, self.server.other = self.server, self.client
        self._connecting: asyncio.Task[None] | None = None

    def made(self, half: "_Half") -> None:
        if half is self.client:
            self._connecting = asyncio.create_task(self._connect())

    async def _connect(self) -> None:
        if self.road.fault("cut"):
            self.reset()
            return
        await self.road.unhung()
        place = self.road.place
        try:
            await asyncio.get_running_loop().create_connection(lambda: self.server, place.host, place.port)
        except OSError:
            self.reset()

    def ended(self) -> None:
        """One direction has; with both the connection has."""
        if self.client.ended and self.server.ended:
            for half in (self.client, self.server):
                if half.transport is not None:
                    half.transport.close()

    def lost(self) -> None:
        """One side has gone: so does the other, which may be sending what it has still when both had said all."""
        self.reset()
        self.road.connections.discard(self)

    def reset(self) -> None:
        """End both sides with RST: what a crashed machine or a firewall does, not a polite close."""
        if self._connecting is not None and self._connecting is not asyncio.current_task():
            self._connecting.cancel()
        for half in (self.client, self.server):
            half.reset()


class _Half(asyncio.Protocol):
    """One side; what it reads goes to the `other`. `bad_end` is the fault that takes a piece of it and ends the connection."""

    other: "_Half"

    def __init__(self, connection: Connection, bad_end: Kind) -> None:
        self.connection = connection
        self.bad_end = bad_end
        self.transport: asyncio.Transport | None = None
        self.ended = False  # nothing more comes from this side
        # Pieces with the moments when they are due; an empty one is the end.
        self._line: deque[tuple[float, bytes]] = deque()
        self._walk: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()  # not before there is a connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # uvloop's is no BaseTransport
        self.transport = transport
        self._writable.set()
        self.connection.made(self)

    def data_received(self, data: bytes) -> None:
        there = self.other.transport
        if self._walk is None and there is not None and not self.connection.road.faults:
            there.write(data)
        else:
            self._queue(data)

    def eof_received(self) -> bool:
        if self._walk is None and self.other.transport is not None:
            self._end()
        else:
            self._queue(b"")
        return True  # the other direction may have something to say still

    def connection_lost(self, error: Exception | None) -> None:
        if self._walk is not None:
            self._walk.cancel()
        self.connection.lost()

    def pause_writing(self) -> None:
        self._writable.clear()
        self.other.hold(True)

    def resume_writing(self) -> None:
        self._writable.set()
        self.other.hold(len(self.other._line) >= _LINE)

    def hold(self, held: bool) -> None:
        """Read no more for now, or again."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading() if held else self.transport.resume_reading()

    def reset(self) -> None:
        if self.transport is None or self.transport.is_closing():
            return
        raw: socket.socket | None = self.transport.get_extra_info("socket")
        if raw is not None:
            with contextlib.suppress(OSError):
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    # Under a fault

    def _queue(self, data: bytes) -> None:
        """Note when it is due; what follows is read meanwhile, as on a long line. Only answers are late."""
        loop, road = asyncio.get_running_loop(), self.connection.road
        self._line.append((loop.time() + road.latency() if self.bad_end == "swallow" else 0.0, data))
        if self._walk is None:
            self._walk = asyncio.create_task(self._walk_on())
        if len(self._line) >= _LINE:
            self.hold(True)

    async def _walk_on(self) -> None:
        loop, road = asyncio.get_running_loop(), self.connection.road
        try:
            while self._line:
                due, data = self._line[0]
                if (left := due - loop.time()) > 0:
                    await asyncio.sleep(left)
                if data and road.faults:
                    await road.suffer(len(data), self.bad_end)
                await self.other._writable.wait()
                if not data:
                    self._end()
                    return
                self._line.popleft()
                if self.other.transport is not None:
                    self.other.transport.write(data)
                self.hold(not self.other._writable.is_set())
        except EOFError:
            self.connection.reset()
        finally:
            self._walk = None

    def _end(self) -> None:
        """Hand on the end of this direction."""
        self.ended = True
        if self.other.transport is not None:
            # The other side may have closed both ways already (uvloop says Runtime).
            with contextlib.suppress(OSError, RuntimeError):
                self.other.transport.write_eof()
        self.connection.ended()
