"""Snapshots of a running system: saved while every process stands still, restored under everybody's feet."""

import asyncio
import signal
from typing import Any

from emulator import probe
from emulator.fleet import Fleet
from emulator.forks import exited
from emulator.process import StartError
from emulator.setup import Setup
from emulator.state import snapshots
from emulator.system import System

# Who holds state, or writes it. Clients first: what servers are asked then is answered, and they rest.
_KINDS = ("service", "worker", "syncer", "server")


class Standstill:
    """Saves and restores the state of one running emulator, one at a time."""

    def __init__(self, system: System, fleet: Fleet, setup: Setup) -> None:
        self._system = system
        self._fleet = fleet
        self._setup = setup
        self._one = asyncio.Lock()

    def _no_existing_servers(self) -> None:
        if self._system.existing.urls:
            names = ", ".join(self._system.existing.urls)
            raise StartError(f"snapshots need the embedded servers, and {names} is your own")

    async def save(self, name: str) -> dict[str, Any]:
        """Save the state of this moment. StartError when it can't be."""
        self._no_existing_servers()
        state = self._system.state
        async with self._one:
            fresh = snapshots.begin(state, name)
            # Redis may keep what it has answered in memory for the moment of a background flush; not from here on.
            await self._redis_flush("always")
            chosen = [k for k in self._fleet.of_kind(*_KINDS) if k.lives and k.seen != "paused"]
            frozen = snapshots.freeze([keeper.process.pid for keeper in chosen if keeper.process is not None])
            try:
                await asyncio.to_thread(snapshots.copy, state, fresh)
            finally:
                snapshots.thaw(frozen)
                await self._redis_flush("everysec")
            return await asyncio.to_thread(snapshots.finish, state, fresh, name)

    async def _redis_flush(self, how: str) -> None:
        broker = self._system.broker
        order = f"AUTH {broker.password}\r\nCONFIG SET appendfsync {how}\r\nPING\r\n".encode()
        await probe.ask(broker.port, order, b"+PONG\r\n", timeout=2)

    async def restore(self, name: str) -> None:
        """Put a snapshot in the place of the state; return when every part is ready on it, or has failed."""
        self._no_existing_servers()
        state = self._system.state
        async with self._one:
            await asyncio.to_thread(snapshots.stage, state, name)
            chosen = self._fleet.of_kind(*_KINDS)
            self._fleet.may_start.clear()
            try:
                # As a crash would: what they hold is of the state that goes.
                old = [k.crash(signal.SIGQUIT if k.part.name == "postgres" else signal.SIGKILL) for k in chosen]
                await asyncio.gather(*(exited(process) for process in old if process is not None))
                await asyncio.to_thread(snapshots.swap, state)
                self._setup.steps["migrations"].clear()
            finally:
                self._fleet.may_start.set()
            # Roles' passwords are this state's, and migrations those of this checkout.
            await self._setup.prepare()
            await self._fleet.until(
                lambda: all(k.process not in old and k.state in ("ready", "failed") for k in chosen)
            )
