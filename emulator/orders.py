"""What commands and the dashboard ask of a running emulator, an order a method: stop, kill, pause, snapshots, faults."""

import asyncio
import os
import signal
from typing import TYPE_CHECKING, Any

import msgspec

from emulator import probe
from emulator.control import Handler, Say
from emulator.forks import exited
from emulator.network.proxy import Fault
from emulator.process import CalledWrongly, StartError
from emulator.state import snapshots
from runtime.services import suggestion

if TYPE_CHECKING:
    from emulator.supervisor import Running, Supervisor


class Orders:
    """The orders that one supervisor takes."""

    def __init__(self, supervisor: "Supervisor") -> None:
        self.supervisor = supervisor
        self._one_snapshot = asyncio.Lock()
        self._handlers: dict[str, Handler] = {
            "status": self._status,
            "environment": self._environment,
            "stop": self._stop,
            "restart": self._restart,
            "kill": self._kill,
            "pause": self._pause,
            "resume": self._pause,
            "fault-add": self._fault_add,
            "fault-clear": self._fault_clear,
            "fault-list": self._fault_list,
            "snapshot-save": self._snapshot_save,
            "snapshot-restore": self._snapshot_restore,
        }

    async def handle(self, request: dict[str, Any], say: Say) -> dict[str, Any]:
        """Carry out one order and return its answer.

        Raises:
            StartError: it can't be done; one line.
        """
        handler = self._handlers.get(str(request.get("do")))
        if handler is None:
            raise StartError(f"this emulator does not know {request.get('do')!r}; is it of another version?")
        return await handler(request, say)

    async def _status(self, request: dict[str, Any], say: Say) -> dict[str, Any]:
        kept = [f"{name}: {error}" for name, error in self.supervisor.reload_errors.items()]
        return {"about": self.supervisor.about(), "troubles": [*self.supervisor.troubles, *kept]}

    async def _environment(self, request: dict[str, Any], say: Say) -> dict[str, Any]:
        name = request.get("service")
        if name:
            if name not in self.supervisor.system.services:
                raise StartError(f"there is no service {name}")
            return {"environment": self.supervisor.system.environment(self.supervisor.system.services[name])}
        return {"environment": self.supervisor.system.outside_environment()}

    async def _stop(self, request: dict[str, Any], say: Say) -> dict[str, Any]:
        self.supervisor.say("stopping: asked by `eco2 down`")
        asyncio.get_running_loop().call_later(0.05, self.supervisor.stopping.set)
        return {"pid": os.getpid()}

    def pick(self, name: str) -> "Running":
        """The part of that name. StartError with the names there are."""
        running = self.supervisor.running
        if name not in running:
            raise CalledWrongly(f"there is no part {name}{suggestion(name, running)}")
        return running[name]

    async def _restart(self, request: dict[str, Any], say: Say) -> dict[str, Any]:
        running = self.pick(str(request.get("part")))
        await self.supervisor.replace(running, overlapping=running.part.kind == "service")
        return {"part": running.about()}

    async def _kill(self, request: dict[str, Any], say: Say) -> dict[str, Any]:
        running = self.pick(str(request.get("part")))
        if running.process is not None and running.process.poll() is None:
            running.process.kill()
        return {"part": running.about()}

    async def _pause(self, request: dict[str, Any], say: Say) -> dict[str, Any]:
        running = self.pick(str(request.get("part")))
        pausing = request["do"] == "pause"
        if running.process is None or running.process.poll() is not None or running.state not in ("ready", "paused"):
            raise StartError(f"{running.part.name} is {running.state}")
        os.killpg(running.process.pid, signal.SIGSTOP if pausing else signal.SIGCONT)
        running.state = "paused" if pausing else "ready"
        await self.supervisor.changed()
        return {"part": running.about()}

    # Snapshots

    def _no_existing_servers(self) -> None:
        if self.supervisor.system.existing.urls:
            raise StartError(
                f"snapshots need the embedded servers, and {', '.join(self.supervisor.system.existing.urls)} is your own"
            )

    async def _snapshot_save(self, request: dict[str, Any], say: Say) -> dict[str, Any]:
        self._no_existing_servers()
        name = str(request["name"])
        async with self._one_snapshot:
            fresh = snapshots.begin(self.supervisor.state, name)
            # Redis may keep what it has answered in memory for the moment of a background flush; not from here on.
            await self._redis_flush("always")
            # Clients first: what servers are asked then is answered, and they rest.
            kinds = ("service", "worker", "syncer", "server")
            chosen = [r for kind in kinds for r in self.supervisor.running.values() if r.part.kind == kind]
            pids = [
                r.process.pid
                for r in chosen
                if r.process is not None and r.process.poll() is None and r.state != "paused"
            ]
            frozen = snapshots.freeze(pids)
            try:
                await asyncio.to_thread(snapshots.copy, self.supervisor.state, fresh)
            finally:
                snapshots.thaw(frozen)
                await self._redis_flush("everysec")
            about = await asyncio.to_thread(snapshots.finish, self.supervisor.state, fresh, name)
        self.supervisor.say(f"snapshot {name} was saved")
        return {"said": f"{name} is saved: {about['bytes'] / 1e6:.1f} MB"}

    async def _redis_flush(self, how: str) -> None:
        broker = self.supervisor.system.broker
        order = f"AUTH {broker.password}\r\nCONFIG SET appendfsync {how}\r\nPING\r\n".encode()
        await probe.ask(broker.port, order, b"+PONG\r\n", timeout=2)

    async def _snapshot_restore(self, request: dict[str, Any], say: Say) -> dict[str, Any]:
        self._no_existing_servers()
        name = str(request["name"])
        async with self._one_snapshot:
            await asyncio.to_thread(snapshots.stage, self.supervisor.state, name)
            chosen = [
                r for r in self.supervisor.running.values() if r.part.kind in ("service", "worker", "syncer", "server")
            ]
            self.supervisor.may_start.clear()
            try:
                for running in chosen:
                    running.replaced.set()
                    running.again.set()
                    if running.process is not None and running.process.poll() is None:
                        # As a crash would: what they hold is of the state that goes.
                        number = signal.SIGQUIT if running.part.name == "postgres" else signal.SIGKILL
                        running.process.send_signal(signal.SIGCONT)
                        running.process.send_signal(number)
                        running.state = "restarting"
                old = [running.process for running in chosen]
                await asyncio.gather(*(exited(process) for process in old if process is not None))
                await asyncio.to_thread(snapshots.swap, self.supervisor.state)
                self.supervisor.done["migrations"].clear()
            finally:
                self.supervisor.may_start.set()
            # Roles' passwords are this state's, and migrations those of this checkout.
            await self.supervisor.prepare()
            async with self.supervisor.moved:
                await self.supervisor.moved.wait_for(
                    lambda: all(r.process not in old and r.state in ("ready", "failed") for r in chosen)
                )
        self.supervisor.say(f"snapshot {name} was restored")
        return {"said": f"{name} is restored"}

    # Faults

    async def _fault_add(self, request: dict[str, Any], say: Say) -> dict[str, Any]:
        faults = self.supervisor.faults
        fault = msgspec.convert({**request["fault"], "id": faults.new_id()}, Fault)
        links = self.supervisor.system.links()
        if not any(fault.hits(link) for link in links):
            known = sorted({link.target for link in links if fault.source in (None, link.source)})
            whence = f" from {fault.source}" if fault.source else ""
            raise CalledWrongly(f"no connection{whence} to {fault.target}; there are {', '.join(known) or 'none'}")
        seconds = request.get("seconds")
        faults.add(fault, seconds)
        if seconds:
            # Of the machine's time: a fault is part of the test, not of the system.
            asyncio.get_running_loop().call_later(seconds, self._end_faults, fault.id)
        self.supervisor.order_proxy()
        self.supervisor.say(f"fault {faults.line(fault.id)}")
        return {"faults": [faults.line(fault.id)], "id": fault.id}

    async def _fault_clear(self, request: dict[str, Any], say: Say) -> dict[str, Any]:
        wanted = request.get("id")
        if wanted is not None and wanted not in self.supervisor.faults:
            raise CalledWrongly(f"there is no fault {wanted}")
        self._end_faults(wanted)
        return await self._fault_list(request, say)

    def _end_faults(self, wanted: str | None) -> None:
        """End one fault, or all."""
        for name in self.supervisor.faults.end(wanted):
            self.supervisor.say(f"fault {name} is over")
        self.supervisor.order_proxy()

    async def _fault_list(self, request: dict[str, Any], say: Say) -> dict[str, Any]:
        faults = self.supervisor.faults
        return {"faults": [faults.line(name) for name in faults]}
