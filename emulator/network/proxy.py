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
import sys
from collections.abc import Iterable

import msgspec

from emulator.network.links import Fault, Link, Order, Place
from emulator.network.road import Road
from runtime import listening
from shared import supervision


class _Listener:
    """A link that listens; connections go to its places in turn."""

    def __init__(self, link: Link, seed: int) -> None:
        self.link = link
        self._random = random.Random(f"{seed} {link.source} {link.target}")  # noqa: S311 - chance of faults, no secret
        self._roads: dict[Place, Road] = {}
        self._server: asyncio.Server | None = None
        self._turn = 0

    async def listen(self) -> None:
        """On the socket that the process was given for this port, else on one of our own. OSError when the port is taken."""
        listener = listening.on("127.0.0.1", self.link.port)
        self._server = await asyncio.get_running_loop().create_server(self._accept, sock=listener, backlog=4096)

    def _accept(self) -> asyncio.Protocol:
        self._turn += 1
        return self._roads[self.link.to[self._turn % len(self.link.to)]].connect()

    def hold(self, link: Link, faults: tuple[Fault, ...]) -> None:
        """From now on these are the link's places and the faults. What goes to a place that is left out goes on to its end."""
        self.link = link
        for place in link.to:
            self._roads.setdefault(place, Road(place, self._random))
        for place, road in list(self._roads.items()):
            road.set_faults(fault for fault in faults if fault.hits(link, place))
            if place not in link.to and not road.connections:
                del self._roads[place]

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for road in self._roads.values():
            road.reset()


class Proxy:
    """All links and faults, changed as a whole."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.listeners: dict[tuple[str, str, int], _Listener] = {}

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
                await listener.listen()
                self.listeners[key] = listener

    async def close(self) -> None:
        await self.apply((), ())


class Served:
    """The proxy as a process: it obeys, and says whether it could."""

    def __init__(self, seed: int) -> None:
        self.proxy = Proxy(seed)
        self.trouble = "not told yet what should hold"

    async def run(self) -> None:
        """Serve until standard input ends."""
        health = await asyncio.start_server(
            self._answer, sock=listening.on("127.0.0.1", int(os.environ["HEALTH_PORT"]))
        )
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
