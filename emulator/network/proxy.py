"""A TCP proxy that makes bad days: it is between every two parts and can cut, hang, slow, throttle, reset or
swallow.

A *link* is one listening port for one source (a service) and one target (a server or a service). A *fault* applies to
all links of a target, or to those of one source. Chance comes from a seed, one generator a link, so that a run can be
had again. It is a process of its own (`python -m emulator.network.proxy`), told on standard input, one JSON line at a time,
the whole list of links and faults that should hold now; whether it does what it was told last, it answers on HEALTH_PORT.
"""

import asyncio
import contextlib
import os
import random
import socket
import struct
import sys
from collections.abc import Iterable

import msgspec

from emulator.network.links import Fault, Kind, Link, Order, Place
from shared import supervision

CHUNK = 64 * 1024


class _Connection:
    """One client's connection and its way on, pumped both ways."""

    def __init__(self, road: "_Road", reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.road = road
        self.client = (reader, writer)
        self.server: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def run(self) -> None:
        if self.road.fault("cut"):
            self.reset()
            return
        await self.road.unhung()
        place = self.road.place
        try:
            self.server = await asyncio.open_connection(place.host, place.port, limit=CHUNK)
        except OSError:
            self.reset()
            return
        line: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(maxsize=64)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._requests(self.client[0], self.server[1]))
                group.create_task(self._read_answers(self.server[0], line))
                group.create_task(self._write_answers(line, self.client[1]))
        except* (OSError, EOFError):
            self.reset()
        finally:
            for _, writer in (self.client, self.server):
                writer.close()

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK):
            if self.road.faults:
                await self._suffer(data, "reset")
            writer.write(data)
            await writer.drain()
        _end(writer)

    async def _read_answers(self, reader: asyncio.StreamReader, line: asyncio.Queue[tuple[float, bytes]]) -> None:
        """Note when each piece is due; what follows is read meanwhile, as on a long line."""
        loop = asyncio.get_running_loop()
        while data := await reader.read(CHUNK):
            await line.put((loop.time() + self.road.latency(), data))
        await line.put((0.0, b""))

    async def _write_answers(self, line: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due, data = await line.get()
            if not data:
                break
            if (left := due - loop.time()) > 0:
                await asyncio.sleep(left)
            if self.road.faults:
                await self._suffer(data, "swallow")
            writer.write(data)
            await writer.drain()
        _end(writer)

    async def _suffer(self, data: bytes, end: Kind) -> None:
        road = self.road
        await road.unhung()
        for fault in road.faults:
            if fault.kind == end and road.random.random() < fault.chance:
                raise EOFError
            if fault.kind == "throttle" and fault.rate > 0:
                await asyncio.sleep(len(data) / fault.rate)

    def reset(self) -> None:
        """End both sides with RST: what a crashed machine or a firewall does, not a polite close."""
        for side in (self.client, self.server):
            if side is not None:
                raw = side[1].get_extra_info("socket")
                if raw is not None:
                    with contextlib.suppress(OSError):
                        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                side[1].transport.abort()


def _end(writer: asyncio.StreamWriter) -> None:
    """Hand on the end of one direction; the other may still have something to say."""
    if writer.can_write_eof():
        with contextlib.suppress(
            OSError, RuntimeError
        ):  # the other side may have closed both ways already (uvloop says Runtime)
            writer.write_eof()


class _Road:
    """The connections of a link to one place, with the faults that hold for them now."""

    def __init__(self, place: Place, chance: random.Random) -> None:
        self.place = place
        self.random = chance
        self.faults: tuple[Fault, ...] = ()
        self.connections: dict[_Connection, asyncio.Task[None]] = {}
        self._open = asyncio.Event()
        self._open.set()

    def set_faults(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        if self.fault("hang"):
            self._open.clear()
        else:
            self._open.set()
        if self.fault("cut"):
            for connection in list(self.connections):
                connection.reset()

    def fault(self, kind: Kind) -> Fault | None:
        return next((fault for fault in self.faults if fault.kind == kind), None)

    def latency(self) -> float:
        slow = [fault for fault in self.faults if fault.kind == "latency"]
        return sum(max(0.0, fault.seconds + self.random.uniform(-fault.spread, fault.spread)) for fault in slow)

    async def unhung(self) -> None:
        await self._open.wait()

    async def close(self) -> None:
        for task in list(self.connections.values()):
            task.cancel()
        await asyncio.gather(*self.connections.values(), return_exceptions=True)


class _Listener:
    """A link that listens; connections go to its places in turn."""

    def __init__(self, link: Link, seed: int) -> None:
        self.link = link
        self._random = random.Random(f"{seed} {link.source} {link.target}")  # noqa: S311 - chance of faults, no secret
        self._roads: dict[Place, _Road] = {}
        self._server: asyncio.Server | None = None
        self._turn = 0

    async def listen(self, given: socket.socket | None) -> None:
        """On the socket that was inherited for this port, else on one of our own. OSError when the port is taken."""
        if given is not None:
            self._server = await asyncio.start_server(self._accept, sock=given.dup(), limit=CHUNK)
        else:
            port = self.link.port
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", port, limit=CHUNK, backlog=4096)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._turn += 1
        road = self._roads[self.link.to[self._turn % len(self.link.to)]]
        connection = _Connection(road, reader, writer)
        task = asyncio.current_task()
        assert task is not None
        road.connections[connection] = task
        try:
            await connection.run()
        except asyncio.CancelledError:
            connection.reset()
        finally:
            road.connections.pop(connection, None)

    def hold(self, link: Link, faults: tuple[Fault, ...]) -> None:
        """From now on these are the link's places and the faults. What goes to a place that is left out goes on to its end."""
        self.link = link
        for place in link.to:
            self._roads.setdefault(place, _Road(place, self._random))
        for place, road in list(self._roads.items()):
            road.set_faults(fault for fault in faults if fault.hits(link, place))
            if place not in link.to and not road.connections:
                del self._roads[place]

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for road in self._roads.values():
            await road.close()


class Proxy:
    """All links and faults, changed as a whole."""

    def __init__(self, seed: int = 0, sockets: Iterable[socket.socket] = ()) -> None:
        """`sockets` are listening ones for some of the links' ports."""
        self.seed = seed
        self.listeners: dict[tuple[str, str, int], _Listener] = {}
        self._given = {int(given.getsockname()[1]): given for given in sockets}

    async def apply(self, links: Iterable[Link], faults: Iterable[Fault]) -> None:
        """Make exactly these links listen under exactly these faults. OSError when a port is taken."""
        wanted, held = {(link.source, link.target, link.port): link for link in links}, tuple(faults)
        for key in self.listeners.keys() - wanted.keys():
            await self.listeners.pop(key).close()
        for key, link in wanted.items():
            known = self.listeners.get(key)
            listener = known or _Listener(link, self.seed)
            listener.hold(link, held)
            if known is None:
                await listener.listen(self._given.get(link.port))
                self.listeners[key] = listener

    async def close(self) -> None:
        await self.apply((), ())


class Served:
    """The proxy as a process: it obeys, and says whether it could."""

    def __init__(self, seed: int) -> None:
        inherited = filter(None, os.environ.get("LISTEN_FDS", "").split(","))
        self.proxy = Proxy(seed, [socket.socket(fileno=int(number)) for number in inherited])
        self.trouble = "not told yet what should hold"

    async def run(self) -> None:
        """Serve until standard input ends."""
        health = await asyncio.start_server(self._answer, "127.0.0.1", int(os.environ["HEALTH_PORT"]))
        orders = asyncio.StreamReader(limit=1 << 20)
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
        while line := await orders.readline():
            await self._obey(line)
        health.close()
        await self.proxy.close()

    async def _obey(self, line: bytes) -> None:
        try:
            order = msgspec.json.decode(line, type=Order)
            await self.proxy.apply(order.links, order.faults)
            self.trouble = ""
        except (OSError, msgspec.DecodeError) as error:
            self.trouble = str(error)
            print(f"not obeyed: {error}", flush=True)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Any request: 200 while it does what it was told."""
        reasons = [said for said in (self.trouble, *supervision.troubles()) if said]
        body = msgspec.json.encode({"ready": not reasons, "reasons": reasons, "loops": supervision.states()})
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            await reader.readuntil(b"\r\n\r\n")
            status = "503 Service Unavailable" if reasons else "200 OK"
            head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            writer.write(head.encode() + body)
            await writer.drain()
        writer.close()


def run(arguments: list[str]) -> None:
    import uvloop

    uvloop.run(Served(int(arguments[0]) if arguments else 0).run())


if __name__ == "__main__":
    run(sys.argv[1:])
