"""What commands and the dashboard ask of a running emulator, an order a method: stop, kill, pause, snapshots, faults."""

import asyncio
import os
from collections.abc import Callable
from typing import Any

import msgspec

from emulator.control import Handler, Say
from emulator.fleet import Fleet
from emulator.keeper import Keeper
from emulator.network.faults import Faults
from emulator.network.links import Fault
from emulator.process import CalledWrongly, StartError
from emulator.recording.recorder import Recorder
from emulator.replicas import Replicas
from emulator.setup import Setup
from emulator.standstill import Standstill
from emulator.system import System
from shared import supervision


class Orders:
    """The orders that one emulator takes."""

    def __init__(
        self,
        system: System,
        fleet: Fleet,
        setup: Setup,
        faults: Faults,
        order_proxy: Callable[[], None],
        order_gateway: Callable[[], None],
        stop: Callable[[], None],
        say: Callable[[str], None],
    ) -> None:
        self._system = system
        self._fleet = fleet
        self._setup = setup
        self._faults = faults
        self._order_proxy = order_proxy
        self._stop_all = stop
        self._say = say
        self._standstill = Standstill(system, fleet, setup)
        self.recorder = Recorder(system, self._standstill, order_gateway, say)
        self._replicas = Replicas(system, fleet, order_proxy, order_gateway, say)
        self._handlers: dict[str, Handler] = {
            "status": self._status,
            "environment": self._environment,
            "stop": self._stop,
            "restart": self._restart,
            "scale": self._scale,
            "roll": self._roll,
            "kill": self._kill,
            "pause": self._pause,
            "resume": self._resume,
            "fault-add": self._fault_add,
            "fault-clear": self._fault_clear,
            "fault-list": self._fault_list,
            "snapshot-save": self._snapshot_save,
            "snapshot-restore": self._snapshot_restore,
            "record-on": self._record_on,
            "record-off": self._record_off,
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
        keepers = self._fleet.keepers.values()
        stale = [f"{keeper.part.name}: {keeper.stale}" for keeper in keepers if keeper.stale]
        # The parts themselves are asked for a person; a page that looks each second is told what is known.
        parts = await self._fleet.look() if request.get("look") else self._fleet.about()
        troubles = [*self._setup.troubles, *stale, *supervision.troubles()]
        return {"about": self.about(parts), "troubles": troubles, "recording": self.recorder.about}

    def about(self, parts: list[dict[str, Any]] | None = None) -> dict[str, Any]:
        """What `eco2 status --json` prints."""
        parts = self._fleet.about() if parts is None else parts
        for name, url in self._system.existing.urls.items():
            address = url.rpartition("@")[2]  # never a password
            parts.insert(0, {"name": name, "kind": "server", "pid": None, "state": "existing", "address": address})
        return {
            "pid": os.getpid(),
            "gateway": self._system.addresses.gateway_url,
            "parts": parts,
            "state_folder": str(self._system.state.path),
        }

    async def _environment(self, request: dict[str, Any], say: Say) -> dict[str, Any]:
        name = request.get("service")
        if not name:
            return {"environment": self._system.environments.outside()}
        if name not in self._system.services:
            raise StartError(f"there is no service {name}")
        return {"environment": self._system.environments.service(self._system.services[name])}

    async def _stop(self, request: dict[str, Any], say: Say) -> dict[str, Any]:
        self._stop_all()
        return {"pid": os.getpid()}

    # One part, or all replicas of it

    async def _each(self, request: dict[str, Any], do: Callable[[Keeper], None]) -> dict[str, Any]:
        chosen = self._fleet.pick(str(request.get("part")))
        for keeper in chosen:
            do(keeper)
        return {"part": chosen[0].about(), "parts": [keeper.about() for keeper in chosen]}

    async def _restart(self, request: dict[str, Any], say: Say) -> dict[str, Any]:
        chosen = self._fleet.pick(str(request.get("part")))
        await asyncio.gather(*(keeper.renew(overlapping=keeper.part.kind == "service") for keeper in chosen))
        return {"part": chosen[0].about(), "parts": [keeper.about() for keeper in chosen]}

    async def _scale(self, request: dict[str, Any], say: Say) -> dict[str, Any]:
        return {"said": await self._replicas.scale(msgspec.convert(request["replicas"], dict[str, int]))}

    async def _roll(self, request: dict[str, Any], say: Say) -> dict[str, Any]:
        return {"replaced": await self._replicas.roll(str(request["service"]))}

    async def _kill(self, request: dict[str, Any], say: Say) -> dict[str, Any]:
        return await self._each(request, Keeper.kill)

    async def _pause(self, request: dict[str, Any], say: Say) -> dict[str, Any]:
        return await self._each(request, Keeper.pause)

    async def _resume(self, request: dict[str, Any], say: Say) -> dict[str, Any]:
        return await self._each(request, Keeper.resume)

    # Snapshots

    async def _snapshot_save(self, request: dict[str, Any], say: Say) -> dict[str, Any]:
        name = str(request["name"])
        about = await self._standstill.save(name)
        self._say(f"snapshot {name} was saved")
        return {"said": f"{name} is saved: {about['bytes'] / 1e6:.1f} MB"}

    async def _snapshot_restore(self, request: dict[str, Any], say: Say) -> dict[str, Any]:
        name = str(request["name"])
        await self._standstill.restore(name)
        self._say(f"snapshot {name} was restored")
        return {"said": f"{name} is restored"}

    # Recordings

    async def _record_on(self, request: dict[str, Any], say: Say) -> dict[str, Any]:
        return {"said": await self.recorder.on(str(request["name"]), snapshot=bool(request.get("snapshot", True)))}

    async def _record_off(self, request: dict[str, Any], say: Say) -> dict[str, Any]:
        return {"said": await self.recorder.off()}

    # Faults

    async def _fault_add(self, request: dict[str, Any], say: Say) -> dict[str, Any]:
        fault = msgspec.convert({**request["fault"], "id": self._faults.new_id()}, Fault)
        links = self._system.addresses.links()
        if not any(fault.hits(link, place) for link in links for place in link.to):
            known = sorted({link.target for link in links if fault.source in (None, link.source)})
            if not known:
                sources = ", ".join(sorted({link.source for link in links}))
                raise CalledWrongly(f"no part {fault.source} has connections; those that have: {sources}")
            whence = f" from {fault.source}" if fault.source else ""
            raise CalledWrongly(f"no connection{whence} to {fault.target}; there are {', '.join(known)}")
        seconds = request.get("seconds")
        self._faults.add(fault, seconds)
        if seconds:
            # Of the machine's time: a fault is part of the test, not of the system.
            asyncio.get_running_loop().call_later(seconds, self._end_faults, fault.id)
        self._order_proxy()
        self._say(f"fault {self._faults.line(fault.id)}")
        return {"faults": [self._faults.line(fault.id)], "id": fault.id}

    async def _fault_clear(self, request: dict[str, Any], say: Say) -> dict[str, Any]:
        wanted = request.get("id")
        if wanted is not None and wanted not in self._faults:
            raise CalledWrongly(f"there is no fault {wanted}")
        self._end_faults(wanted)
        return await self._fault_list(request, say)

    def _end_faults(self, wanted: str | None) -> None:
        """End one fault, or all."""
        for name in self._faults.end(wanted):
            self._say(f"fault {name} is over")
        self._order_proxy()

    async def _fault_list(self, request: dict[str, Any], say: Say) -> dict[str, Any]:
        return {"faults": [self._faults.line(name) for name in self._faults]}
