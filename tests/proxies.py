"""The fault proxy on a thread of the test's own."""

import asyncio
import socket
import threading
from types import TracebackType
from typing import Any, Self

import uvloop

from emulator.network.links import Fault, Kind, Link, Place
from emulator.network.proxy import Proxy


class ProxyThread:
    """The proxy on an event loop of its own, for tests: `with ProxyThread() as proxy: port = proxy.link("postgres",
    5432)`.
    """

    def __init__(self, seed: int = 0) -> None:
        self.proxy = Proxy(seed)
        self.links: list[Link] = []
        self.faults: list[Fault] = []
        self.loop = uvloop.new_event_loop()  # as the proxy's process has it
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
        """Listen before `host:to_port`; return the port to use instead."""
        if port == 0:
            with socket.create_server(("127.0.0.1", 0)) as probe:
                port = probe.getsockname()[1]
        self.links.append(Link(source, target, port, (Place(target, to_port, host),)))
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
