"""What the dashboard's handlers share: the running system's folder, gateway and services, and the spans collected."""

from __future__ import annotations

import asyncio
import os
import sys
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from litestar.datastructures import State as Shared

from emulator import control
from emulator.dashboard.locks import Locks
from emulator.dashboard.spans import Collector
from emulator.plain_http import PLAIN
from emulator.state.folder import State
from runtime.services import readable
from shared import clock

if TYPE_CHECKING:
    import httpx


class Site:
    """One for the process; a handler names it as its parameter `site`."""

    def __init__(self) -> None:
        self.state = State(Path(os.environ["ECO2_STATE"]))
        self.gateway = os.environ["ECO2_GATEWAY_URL"]
        self.services = readable()
        self.collector = Collector()
        self.locks = Locks(self._dsn, self.collector.tell)
        self.collector.late, self.collector.ended = self.locks.late, self.locks.ended
        self._environment: dict[str, str] = {}

    @cached_property
    def client(self) -> httpx.AsyncClient:
        """The gateway, as the browser of who looks at the dashboard asks it: imported when somebody does."""
        import httpx

        # Loopback without TLS: the certificates that httpx would read are 2 MB.
        return httpx.AsyncClient(base_url=self.gateway, timeout=60, **PLAIN)

    async def close(self) -> None:
        if "client" in self.__dict__:
            await self.client.aclose()

    async def ask(self, do: str, **more: Any) -> dict[str, Any]:
        """Have the emulator carry out an order. Raises StartError with one line."""
        return await asyncio.to_thread(control.ask, self.state, do, lambda line: None, **more)

    async def environment(self) -> dict[str, str]:
        """What a program beside the system has in its environment; asked for once."""
        if not self._environment:
            self._environment = (await self.ask("environment"))["environment"]
        return self._environment

    async def _dsn(self, folder: str) -> str:
        """The database under a service's own role."""
        return (await self.environment())[self.services[folder].database.env]

    def follow_clock(self) -> None:
        """From here on this process has the system's time, moved or not; a restored state brings a file of its own."""
        clock.use_file(str(self.state.path / "clock"))

    async def eco2(self, *words: str) -> dict[str, Any]:
        """Run a command of the command line: it knows how, and says so in its own words."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "runtime.cli", *words),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        return {"ok": process.returncode == 0, "said": output.decode(errors="replace").strip()}


def site_of(state: Shared) -> Site:
    """The dependency behind a handler's parameter `site`."""
    site: Site = state.site
    return site
