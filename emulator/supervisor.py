"""One emulator on one state folder, put together: what `eco2 up` runs."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from emulator import control
from emulator.early import Early
from emulator.fleet import Fleet
from emulator.launcher import Launcher
from emulator.network.faults import Faults
from emulator.newcomers import Newcomers
from emulator.orders import Orders
from emulator.part import Part
from emulator.process import StartError, born
from emulator.recording import recorder
from emulator.reload import Reloader
from emulator.setup import Setup
from emulator.state import inspection, restore
from emulator.state.folder import State
from emulator.system import System
from runtime import memory
from shared import supervision

Say = Callable[[str], None]
# Seconds that parts of a killed emulator have to end by themselves.
LEFT = 3.0


class Supervisor:
    """Starts every part, keeps them until told to stop, and stops all in order."""

    def __init__(
        self,
        state: State,
        port: int | None,
        environ: Mapping[str, str],
        say: Say,
        seed: int = 0,
        debug: str | None = None,
        replicas: Mapping[str, int] | None = None,
        early: Early | None = None,
    ) -> None:
        self.state = state
        self._early = early
        self.say = say
        self.started_at = time.monotonic()
        self.stopping = asyncio.Event()
        self.fatal: StartError | None = None
        self._wanted = (port, environ, seed, debug, replicas)
        self._reloading: supervision.TaskLoop | None = None
        # Made by `run`, since the state may have to be mended before they can look at it.
        self.system: System
        self.setup: Setup
        self.fleet: Fleet
        self._launcher: Launcher
        self._faults = Faults()
        self._left_out: set[str] = set()
        self._orders: Orders
        self._control: control.ControlServer

    async def run(self, on_ready: Callable[["Supervisor"], Awaitable[None]]) -> int:
        """Start everything, call `on_ready`, and return when told to stop.

        Raises:
            StartError: something that nothing can run without did not start.
        """
        self._listen_to_signals()
        end_leftovers(self.state)
        inspection.inspect(self.state, self.say)
        recorder.finish_left(self.state, self.say)
        restored = restore.swap(self.state)
        self.system = System(self.state, *self._wanted)
        self._compose()
        await self._control.start()
        self._write_about()
        try:
            if await self._start() and (restored is None or self._believe(restored.name)):
                await on_ready(self)
                memory.give_back()
                newcomers = Newcomers(self.system, self.fleet, self.setup, self._order_everyone, self.say)
                reloader = Reloader(self.system, self.fleet, self._launcher, self.setup, newcomers, self.say)
                self._reloading = supervision.task("reload", reloader.run)
                await self.stopping.wait()
        finally:
            await self._stop()
            (self.state.path / control.FILE).unlink(missing_ok=True)
            if self.fatal is not None and restored is not None and restore.pending(self.state) is not None:
                restore.undo(self.state)
                self.fatal = StartError(
                    f"the restored state {restored.name} did not start: {self.fatal}; "
                    "the state before is back, and `eco2 up` starts it"
                )
        if self.fatal is not None:
            raise self.fatal
        return 0

    def _believe(self, name: str) -> bool:
        """A state restored while nothing ran is kept from the moment on when everything runs on it, and given back otherwise."""
        failed = [keeper for keeper in self.fleet.keepers.values() if keeper.state != "ready"]
        if not failed:
            restore.confirm(self.state)
            self.say(f"the restored state {name} runs; the one before is let go")
            return True
        self._give_up(StartError(f"{failed[0].part.name}: {failed[0].error}"))
        return False

    def _compose(self) -> None:
        """Make what an emulator is made of, and tell each of whom it tells."""
        self._launcher = Launcher(self.system.environments.base(), self.state.path / "logs", self._early)
        self.setup = Setup(self.system, self._launcher, self.say)
        self.fleet = Fleet(self._launcher, self.setup.steps, self.say)
        for part in self.system.parts():
            self.fleet.add(part)
        self.fleet.fatal = self._give_up
        self.fleet.newcomer = self._first_order
        # While a service is away for longer, waiting in its socket helps no one: the gateway says 503.
        self.fleet.listeners += [self._write_about, self._order_gateway, self._follow_replicas]
        self._orders = Orders(
            self.system,
            self.fleet,
            self.setup,
            self._faults,
            self._order_proxy,
            self._order_gateway,
            self._told_to_stop,
            self.say,
        )
        self._control = control.ControlServer(self._orders.handle)

    async def _start(self) -> bool:
        """Whether everything has been started, and no one said stop meanwhile."""
        self.fleet.begin()
        everything = asyncio.gather(self.setup.run(), self.fleet.settled())
        ending = asyncio.create_task(self.stopping.wait())
        try:
            await asyncio.wait((everything, ending), return_when=asyncio.FIRST_COMPLETED)
            if self.stopping.is_set():
                return False
            await everything
        except StartError as error:
            self._give_up(error)
            return False
        finally:
            ending.cancel()
            everything.cancel()
            with contextlib.suppress(asyncio.CancelledError, StartError):
                await everything
        return True

    def _give_up(self, error: StartError) -> None:
        self.fatal = self.fatal or error
        self.stopping.set()

    def _told_to_stop(self) -> None:
        self.say("stopping: asked by `eco2 down`")
        asyncio.get_running_loop().call_later(0.05, self.stopping.set)

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()

        def told() -> None:
            if self.stopping.is_set():
                self.say("stopping at once")
                os._exit(130)  # every part ends with its parent
            self.say("stopping (once more to stop at once)")
            self.stopping.set()

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, told)

    async def _stop(self) -> None:
        self.stopping.set()
        self._control.close()
        self._launcher.stop_programs()
        with contextlib.suppress(StartError):  # none is open
            await self._orders.recorder.off("down")
        self._faults.end()
        self._order_proxy()
        if self._reloading is not None:
            await self._reloading.stop()
        await self.fleet.stop()
        self._launcher.close()
        self.system.addresses.close()

    def about(self) -> dict[str, Any]:
        """What `eco2 status --json` prints."""
        return self._orders.about()

    # Who is told

    def _first_order(self, part: Part) -> None:
        if part.kind == "proxy":
            self._order_proxy()
        elif part.kind == "gateway":
            self._order_gateway()

    def _order_proxy(self) -> None:
        """What should hold now: links, without replicas that are away, and faults."""
        self._left_out = self.fleet.away()
        self.fleet.order("proxy", self._faults.order(self.system.addresses.links(self._left_out)))

    def _follow_replicas(self) -> None:
        if self.fleet.away() != self._left_out:
            self._order_proxy()

    def _order_everyone(self) -> None:
        self._order_proxy()
        self._order_gateway()

    def _order_gateway(self) -> None:
        """Who is away, and whose newest code does not load."""
        keepers = self.fleet.keepers.values()
        failed = {keeper.part.name for keeper in keepers if keeper.state == "failed"}
        families = {keeper.part.family for keeper in keepers}
        away = [f for f in families if all(keeper.part.name in failed for keeper in self.fleet.pick(f))]
        stale = {keeper.part.family: keeper.stale for keeper in keepers if keeper.stale}
        more = {"apart": self.system.routes(), "services": self.system.prefixes(), **self._orders.recorder.order}
        self.fleet.order("gateway", {"away": away, "errors": stale} | more)

    def _write_about(self) -> None:
        """emulator.json: how commands find this emulator, and what a next one has to wait for."""
        parts = self.fleet.about()
        for part in parts:
            part["born"] = born(part["pid"]) if part["pid"] else None
        about = {
            "pid": os.getpid(),
            "gateway": self.system.addresses.gateway_url,
            "control": self._control.port,
            "token": self._control.token,
            "parts": parts,
        }
        with contextlib.suppress(OSError):  # a full disk must not take the emulator down
            self.state.write_json(control.FILE, about, durable=False)


def end_leftovers(state: State) -> None:
    """Wait for parts of a killed emulator to end, which the kernel told them to; end who did not hear."""
    about = state.read_json(control.FILE, dict[str, Any])
    if about is None:
        return
    # Of one without a birth nothing is known but that it had ended when this was written.
    left = {part["pid"]: part["born"] for part in about.get("parts", []) if part.get("born")}
    deadline = time.monotonic() + LEFT
    while any(born(pid) == when for pid, when in left.items()) and time.monotonic() < deadline:
        time.sleep(0.02)
    for pid, when in left.items():
        if born(pid) == when:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
