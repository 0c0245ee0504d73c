"""A TCP proxy that makes bad days: it stands between every two parts and can cut, hang, slow, throttle, reset or
swallow.

A *link* is one listening port for one source (a service) and one target (a server or a service). A *fault* applies to
all links of a target, or to those of one source. Chance comes from a seed, one generator a link, so that a run can be
had again. In the emulator it is a process of its own (`python -m emulator.network.proxy`), told on standard input, one JSON
line at a time, the whole list of links and faults that should hold now; in tests it is a thread (`ProxyThread`).
"""

import asyncio
import contextlib
import json
import random
import socket
import struct
import sys
import threading
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Literal, Self

import msgspec
from msgspec import Struct

Kind = Literal["cut", "hang", "latency", "throttle", "reset", "swallow"]
CHUNK = 64 * 1024


class Link(Struct, frozen=True):
    """Connections of `source` to `target` arrive at `port` and go on to `host:to_port`."""

    source: str
    target: str
    port: int
    to_port: int
    host: str = "127.0.0.1"


class Fault(Struct, frozen=True, kw_only=True):
    """What is wrong with the connections to `target` (from `source`, or from everywhere).

    cut: connections are reset, new ones too · hang: nothing moves, connections stay open · latency: each piece of an
    answer comes `seconds` ± `spread` later · throttle: at most `rate` bytes a second each way and connection · reset:
    a piece of a request resets the connection, with the given `chance` · swallow: the request arrives, its answer is
    lost with the connection, with the given `chance`.
    """

    id: str
    target: str
    kind: Kind
    source: str | None = None
    seconds: float = 0.0
    spread: float = 0.0
    rate: float = 0.0
    chance: float = 1.0

    def hits(self, link: Link) -> bool:
        names = (link.target, link.target.partition("-")[0])  # "redis" names redis-broker and redis-cache
        return self.target in ("*", *names) and self.source in (None, link.source)


class _Connection:
    """One client's connection and its way on, pumped both ways."""

    def __init__(self, listener: "_Listener", reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.listener = listener
        self.client = (reader, writer)
        self.server: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def run(self) -> None:
        if self.listener.fault("cut"):
            self.reset()
            return
        await self.listener.unhung()
        link = self.listener.link
        try:
            self.server = await asyncio.open_connection(link.host, link.to_port, limit=CHUNK)
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
            if self.listener.faults:
                await self._suffer(data, "reset")
            writer.write(data)
            await writer.drain()
        _end(writer)

    async def _read_answers(self, reader: asyncio.StreamReader, line: asyncio.Queue[tuple[float, bytes]]) -> None:
        """Note when each piece is due; what follows is read meanwhile, as on a long line."""
        loop = asyncio.get_running_loop()
        while data := await reader.read(CHUNK):
            await line.put((loop.time() + self.listener.latency(), data))
        await line.put((0.0, b""))

    async def _write_answers(self, line: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due, data = await line.get()
            if not data:
                break
            if (left := due - loop.time()) > 0:
                await asyncio.sleep(left)
            if self.listener.faults:
                await self._suffer(data, "swallow")
            writer.write(data)
            await writer.drain()
        _end(writer)

    async def _suffer(self, data: bytes, end: Kind) -> None:
        listener = self.listener
        await listener.unhung()
        for fault in listener.faults:
            if fault.kind == end and listener.random.random() < fault.chance:
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
        with contextlib.suppress(OSError):  # the other side may have closed both ways already
            writer.write_eof()


class _Listener:
    """A link that listens, with the faults that hold for it now."""

    def __init__(self, link: Link, seed: int) -> None:
        self.link = link
        self.random = random.Random(f"{seed} {link.source} {link.target}")  # noqa: S311
        self.faults: tuple[Fault, ...] = ()
        self.connections: dict[_Connection, asyncio.Task[None]] = {}
        self.server: asyncio.Server | None = None
        self.open_road = asyncio.Event()
        self.open_road.set()

    async def listen(self) -> None:
        self.server = await asyncio.start_server(self._accept, "127.0.0.1", self.link.port, limit=CHUNK, backlog=512)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(self, reader, writer)
        task = asyncio.current_task()
        assert task is not None
        self.connections[connection] = task
        try:
            await connection.run()
        except asyncio.CancelledError:
            connection.reset()
        finally:
            self.connections.pop(connection, None)

    def set_faults(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(fault for fault in faults if fault.hits(self.link))
        if self.fault("hang"):
            self.open_road.clear()
        else:
            self.open_road.set()
        if self.fault("cut"):
            for connection in list(self.connections):
                connection.reset()

    def fault(self, kind: Kind) -> Fault | None:
        return next((fault for fault in self.faults if fault.kind == kind), None)

    def latency(self) -> float:
        slow = [fault for fault in self.faults if fault.kind == "latency"]
        return sum(max(0.0, fault.seconds + self.random.uniform(-fault.spread, fault.spread)) for fault in slow)

    async def unhung(self) -> None:
        await self.open_road.wait()

    async def close(self) -> None:
        if self.server is not None:
            self.server.close()
        for task in list(self.connections.values()):
            task.cancel()
        await asyncio.gather(*self.connections.values(), return_exceptions=True)


class Proxy:
    """All links and faults, changed as a whole."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.listeners: dict[Link, _Listener] = {}

    async def apply(self, links: Iterable[Link], faults: Iterable[Fault]) -> None:
        """Make exactly these links listen under exactly these faults. OSError when a port is taken."""
        wanted, faults = set(links), tuple(faults)
        for link in set(self.listeners) - wanted:
            await self.listeners.pop(link).close()
        for link in wanted - set(self.listeners):
            listener = _Listener(link, self.seed)
            await listener.listen()
            self.listeners[link] = listener
        for listener in self.listeners.values():
            listener.set_faults(faults)

    async def close(self) -> None:
        await self.apply((), ())


class ProxyThread:
    """The proxy on an event loop of its own, for tests: `with ProxyThread() as proxy: port = proxy.link("postgres",
    5432)`.
    """

    def __init__(self, seed: int = 0) -> None:
        self.proxy = Proxy(seed)
        self.links: list[Link] = []
        self.faults: list[Fault] = []
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._run, name="proxy", daemon=True)

    def _run(self) -> None:
        self.loop.run_forever()
        self.loop.close()

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self.proxy.close(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)

    def link(self, target: str, to_port: int, source: str = "test", port: int = 0, host: str = "127.0.0.1") -> int:
        """Stand before `host:to_port`; return the port to use instead."""
        if port == 0:
            with socket.create_server(("127.0.0.1", 0)) as probe:
                port = probe.getsockname()[1]
        self.links.append(Link(source, target, port, to_port, host))
        self._apply()
        return port

    def add(self, target: str, kind: Kind, **how: Any) -> Fault:
        """Begin a fault; `how` are the fields of Fault (source, seconds, spread, rate, chance)."""
        fault = Fault(id=f"f{len(self.faults) + 1}", target=target, kind=kind, **how)
        self.faults.append(fault)
        self._apply()
        return fault

    def clear(self, fault: Fault | None = None) -> None:
        """End one fault, or all."""
        self.faults = [other for other in self.faults if fault is not None and other is not fault]
        self._apply()

    def _apply(self) -> None:
        asyncio.run_coroutine_threadsafe(self.proxy.apply(self.links, self.faults), self.loop).result(10)


class Order(Struct):
    """One line of standard input: what should hold now."""

    links: list[Link]
    faults: list[Fault]


async def serve(seed: int) -> None:
    """Obey orders from standard input until it closes; answer each with one line."""
    proxy = Proxy(seed)
    orders = asyncio.StreamReader(limit=1 << 20)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    while line := await orders.readline():
        try:
            order = msgspec.json.decode(line, type=Order)
            await proxy.apply(order.links, order.faults)
            answer: dict[str, Any] = {"ok": True}
        except (OSError, msgspec.DecodeError) as error:
            answer = {"ok": False, "error": str(error)}
        print(json.dumps(answer), flush=True)
    await proxy.close()


def run(arguments: list[str]) -> None:
    import uvloop

    uvloop.run(serve(int(arguments[0]) if arguments else 0))


if __name__ == "__main__":
    run(sys.argv[1:])
