"""More or fewer replicas of a service while everything runs, and a rolling update of those there are."""

import asyncio
from collections.abc import Callable, Mapping

from emulator.fleet import Fleet
from emulator.part import replica_name
from emulator.process import CalledWrongly, StartError
from emulator.system import System
from runtime.services import Service

# One machine: what is more is a mistake in typing.
MOST = 16


class Replicas:
    """Scales and rolls the services of one emulator, one order at a time."""

    def __init__(
        self,
        system: System,
        fleet: Fleet,
        order_proxy: Callable[[], None],
        order_gateway: Callable[[], None],
        say: Callable[[str], None],
    ) -> None:
        self._system = system
        self._fleet = fleet
        self._order_proxy = order_proxy
        self._order_gateway = order_gateway
        self._say = say
        self._one = asyncio.Lock()

    async def scale(self, wanted: Mapping[str, int]) -> list[str]:
        """Have so many replicas of each service, or of a function as a part of its own (none: it is served by its service again);
        a line each, when those that are new are ready.

        Raises:
            CalledWrongly: no such service, or too many. StartError: a new one did not start.
        """
        for name, count in wanted.items():
            least = 0 if "/" in name else 1
            if not least <= count <= MOST:
                raise CalledWrongly(f"{name}={count}: {least} to {MOST} replicas can run on one machine")
        chosen = {name: self._system.wanted(name) for name in wanted}
        async with self._one:
            return [await self._scale(chosen[name], count) for name, count in wanted.items()]

    async def _scale(self, service: Service, count: int) -> str:
        if service.name in self._system.apart:
            self._system.addresses.add_apart(service)
        before = self._system.addresses.count(service)
        self._system.addresses.scale(service, max(before, count))
        parts = [part for number in range(before + 1, count + 1) for part in self._system.replica(service, number)]
        # Whom they talk to comes first, and who talks to them when they are ready.
        self._order_proxy()
        new = [self._fleet.join(part) for part in parts]
        await self._fleet.until(lambda: all(keeper.state in ("ready", "failed") for keeper in new))
        self._route(service, count)
        gone = [replica_name(service.name, number) for number in range(before, count, -1)]
        for name in gone:
            self._fleet.keepers[name].retiring = True
        self._order_proxy()
        for name in gone:
            await self._fleet.leave(name)
        for number in range(before, count, -1) if service.is_worker else ():
            # After the worker: what it did last is synced.
            await self._fleet.leave(replica_name(f"syncer-{service.short}", number))
        # Their own links last: they needed them to finish.
        self._system.addresses.scale(service, count)
        self._order_proxy()
        failed = [keeper for keeper in new if keeper.state == "failed"]
        if failed:
            raise StartError(f"{failed[0].part.name} did not start: {failed[0].error}; it is tried again")
        said = f"{service.name}: {count} replica{'' if count == 1 else 's'}, before {before}"
        self._say(said)
        return said

    def _route(self, service: Service, count: int) -> None:
        """Have the gateway send a function's requests to its own part, or no more."""
        if service.name in self._system.apart:
            (self._system.routed.add if count else self._system.routed.discard)(service.name)
            self._order_gateway()

    async def roll(self, name: str) -> list[str]:
        """Replace the replicas of a service one after another, each when the one before is ready: old and new code side by
        side, as in a rolling update. StartError when one does not start; those after it stay as they are."""
        service = self._system.service(name)
        async with self._one:
            replaced = []
            for keeper in self._fleet.of_service(service.folder):
                await keeper.renew(overlapping=keeper.part.kind == "service")
                if keeper.state == "failed":
                    raise StartError(f"{keeper.part.name} did not start: {keeper.error}; the others were not replaced")
                replaced.append(keeper.part.name)
            self._say(f"rolled {', '.join(replaced)}")
            return replaced
