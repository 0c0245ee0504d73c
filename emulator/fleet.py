"""All parts of one emulator: who runs, who waits for whom, and who is told when that changes."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from emulator.keeper import Keeper
from emulator.launcher import Launcher
from emulator.part import Part
from emulator.process import CalledWrongly, StartError
from runtime.services import suggestion
from shared import supervision

# Kinds in the order of their stop: first who takes new work, last who keeps things.
_STOP_ORDER = (("dashboard", "gateway"), ("service", "worker"), ("syncer",), ("proxy",), ("server",))
# Without these nothing can run: their failure at the first start ends `up`. Another part's is told and tried again.
_ESSENTIAL = {"server", "proxy", "gateway"}


class Fleet:
    """The keepers of all parts, by the part's name.

    Attributes:
        may_start: cleared while the state is swapped under everybody.
        fatal: called with the reason when what nothing can run without did not start.
        listeners: called, soon and once for several changes, after a part's state has changed.
        newcomer: called with a part whose new process waits for its first order.
    """

    def __init__(self, launcher: Launcher, steps: Mapping[str, asyncio.Event], say: Callable[[str], None]) -> None:
        self.keepers: dict[str, Keeper] = {}
        self.may_start = asyncio.Event()
        self.may_start.set()
        self.fatal: Callable[[StartError], None] = lambda error: None
        self.listeners: list[Callable[[], None]] = []
        self.newcomer: Callable[[Part], None] = lambda part: None
        self.say = say
        self._launcher = launcher
        self._steps = steps
        self._changed = asyncio.Event()
        self._telling: supervision.TaskLoop | None = None

    def add(self, part: Part) -> Keeper:
        keeper = self.keepers[part.name] = Keeper(part, self._launcher, self)
        return keeper

    def begin(self) -> None:
        """Keep every part from now on."""
        self._telling = supervision.task("fleet", self._tell)
        for keeper in self.keepers.values():
            keeper.begin()

    def join(self, part: Part) -> Keeper:
        """Keep one more part."""
        keeper = self.add(part)
        keeper.begin()
        return keeper

    async def leave(self, name: str) -> None:
        """Keep a part no longer, and end it in its own time."""
        await self.keepers[name].stop()
        del self.keepers[name]
        self.touch()

    def away(self) -> set[str]:
        """The parts that answer no one for some time, or are to get nothing new."""
        return {name for name, k in self.keepers.items() if k.retiring or k.state in ("failed", "paused")}

    async def settled(self) -> None:
        """Return when every part has been ready, or has failed, once."""
        await asyncio.gather(*(keeper.settled.wait() for keeper in self.keepers.values()))

    async def stop(self) -> None:
        """End every part, in order."""
        # First of all: a keeper that still works would start anew what is being stopped.
        await asyncio.gather(*(keeper.release() for keeper in self.keepers.values()))
        for kinds in _STOP_ORDER:
            chosen = [keeper for keeper in self.keepers.values() if keeper.part.kind in kinds]
            await asyncio.gather(*(keeper.stop() for keeper in chosen))
        if self._telling is not None:
            await self._telling.stop()

    def kill(self) -> None:
        for keeper in self.keepers.values():
            keeper.kill()

    # Looking for parts

    def pick(self, name: str) -> list[Keeper]:
        """The part of that name, or all replicas of it. CalledWrongly with the names there are."""
        if name in self.keepers and "/" in name:
            return [self.keepers[name]]
        first, _, number = name.partition("/")
        found = [keeper for keeper in self.keepers.values() if keeper.part.family == first]
        if not found or number not in ("", "1"):
            raise CalledWrongly(f"there is no part {name}{suggestion(name, self.keepers)}")
        return found if not number else found[:1]

    def of_kind(self, *kinds: str) -> list[Keeper]:
        """The parts of these kinds, in the order of the kinds."""
        return [keeper for kind in kinds for keeper in self.keepers.values() if keeper.part.kind == kind]

    def of_service(self, folder: str) -> list[Keeper]:
        """The parts that run this service's code."""
        return [keeper for keeper in self.keepers.values() if keeper.part.folder == folder]

    def about(self) -> list[dict[str, Any]]:
        return [keeper.about() for keeper in self.keepers.values()]

    async def look(self) -> list[dict[str, Any]]:
        """What each part says of itself, all asked at once."""
        return await asyncio.gather(*(keeper.look() for keeper in self.keepers.values()))

    def order(self, name: str, value: Any) -> None:
        """One order to a part's standard input, if it runs."""
        if name in self.keepers:
            self.keepers[name].order(value)

    # What keepers ask and tell

    async def cleared(self, part: Part) -> None:
        await self.may_start.wait()
        for need in part.needs:
            step = self._steps.get(need)
            await (step or self.keepers[need].settled).wait()
        await self.may_start.wait()

    def changed(self, keeper: Keeper) -> None:
        if keeper.state == "failed" and not keeper.settled.is_set() and keeper.part.kind in _ESSENTIAL:
            self.fatal(StartError(keeper.error))
        self.touch()

    def touch(self) -> None:
        """Have everybody look again who waits for a change."""
        self._changed.set()
        self._changed = asyncio.Event()

    def ordered(self, keeper: Keeper) -> None:
        self.newcomer(keeper.part)

    async def until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            await self._changed.wait()

    async def _tell(self) -> None:
        while True:
            change = self._changed
            for listener in self.listeners:
                listener()
            await change.wait()
