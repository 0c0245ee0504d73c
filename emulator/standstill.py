"""Snapshots of a running system: saved while every process stands still, restored under everybody's feet."""

import asyncio
import signal
from collections.abc import Callable
from typing import Any

from emulator import probe
from emulator.fleet import Fleet
from emulator.forks import exited
from emulator.process import StartError
from emulator.setup import Setup
from emulator.state import freeze, restore, snapshots
from emulator.state.folder import State
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

    async def save(self, name: str, meanwhile: Callable[[], None] = lambda: None) -> dict[str, Any]:
        """Save the state of this moment, and call `meanwhile` in it. StartError when it can't be."""
        self._no_existing_servers()
        state = self._system.state
        async with self._one:
            fresh = snapshots.begin(state, name)
            # Redis may keep what it has answered in memory for the moment of a background flush; not from here on.
            await self._redis_flush("always")
            chosen = [k for k in self._fleet.of_kind(*_KINDS) if k.lives and k.seen != "paused"]
            frozen = freeze.freeze([keeper.process.pid for keeper in chosen if keeper.process is not None])
            try:
                await asyncio.to_thread(snapshots.copy, state, fresh)
                meanwhile()
            finally:
                freeze.thaw(frozen)
                await self._redis_flush("everysec")
            return await asyncio.to_thread(snapshots.finish, state, fresh, name)

    async def _redis_flush(self, how: str) -> None:
        broker = self._system.broker
        order = f"AUTH {broker.password}\r\nCONFIG SET appendfsync {how}\r\nPING\r\n".encode()
        await probe.ask(broker.port, order, b"+PONG\r\n", timeout=2)

    async def restore(self, name: str) -> None:
        """Put a snapshot in the place of the state; return when every part is ready on it.

        Raises:
            StartError: the snapshot is damaged, or the system did not start on it; the state is as it was.
        """
        self._no_existing_servers()
        state = self._system.state
        async with self._one:
            await asyncio.to_thread(restore.stage, state, name)
            why = await self._change(restore.swap)
            if not why:
                await asyncio.to_thread(restore.confirm, state)
                return
            self._fleet.say(f"{name} did not start: {why}; the state before is brought back")
            worse = await self._change(restore.undo)
            after = f"; neither did the state before: {worse}" if worse else "; the state is as it was"
            raise StartError(f"{name} was not restored, for the system did not start on it: {why}{after}")

    async def _change(self, swap: Callable[[State], object]) -> str:
        """Swap the state under everybody, as a crash would end who holds it; why the system is not ready on it, if so."""
        chosen = self._fleet.of_kind(*_KINDS)
        self._fleet.may_start.clear()
        try:
            old = [k.crash(signal.SIGQUIT if k.part.name == "postgres" else signal.SIGKILL) for k in chosen]
            await asyncio.gather(*(exited(process) for process in old if process is not None))
            await asyncio.to_thread(swap, self._system.state)
            self._setup.steps["migrations"].clear()
        finally:
            self._fleet.may_start.set()
        # Roles' passwords are this state's, and migrations those of this checkout.
        preparing = asyncio.create_task(self._setup.prepare())
        preparing.add_done_callback(lambda _: self._fleet.touch())

        def reasons() -> list[str]:
            """Why not, as far as it is known."""
            error = preparing.exception() if preparing.done() else None
            failed = [f"{k.part.name}: {k.error}" for k in chosen if k.state == "failed"]
            return [*failed, *([str(error)] if error else [])]

        def ready() -> bool:
            return preparing.done() and all(k.process not in old and k.state == "ready" for k in chosen)

        await self._fleet.until(lambda: bool(reasons()) or ready())
        why = next(iter(reasons()), "")
        preparing.cancel()
        await asyncio.wait({preparing})
        return why
