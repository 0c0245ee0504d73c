"""Snapshots of what runs, step by step: who stands still when, what is flushed, and what is left when a step fails"""

import asyncio
import itertools
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from emulator import probe, standstill
from emulator.fleet import Fleet
from emulator.process import StartError
from emulator.standstill import Standstill
from tests.emulator.trials import Trials

PIDS = itertools.count(100)


class Kept:
    """A part as a keeper tells of it. A process that was ended is followed by another one when parts may start."""

    def __init__(self, world: "World", kind: str, name: str, state: str = "ready", lives: bool = True) -> None:
        self.world, self.part = world, SimpleNamespace(kind=kind, name=name)
        self.state = self.seen = state
        self.lives, self.error = lives, "no such table"
        self.process: Any = SimpleNamespace(pid=next(PIDS), name=name)
        self.becomes = "ready"

    def crash(self, number: int) -> Any:
        assert not self.world.fleet.may_start.is_set(), "it would be started on what is being swapped"
        self.world.steps.append(f"{self.part.name} {signal.Signals(number).name}")
        self.state, old = "restarting", self.process
        self.world.crashed.append(self)
        return old


class World:
    """A system whose parts and stores tell what is done with them."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.steps: list[str] = []
        self.said: list[str] = []
        self.fails = ""
        self.crashed: list[Kept] = []
        self.migrations = asyncio.Event()
        self.migrations.set()
        self.fleet = Fleet(Trials(folder), {"migrations": self.migrations}, self.said.append)  # type: ignore[arg-type] # no processes
        for kept in (
            Kept(self, "server", "postgres"),
            Kept(self, "server", "redis-broker"),
            Kept(self, "service", "api-auth"),
            Kept(self, "worker", "worker-ai", "paused"),
            Kept(self, "syncer", "syncer-ai", lives=False),
            Kept(self, "gateway", "gateway"),
        ):
            self.fleet.keepers[kept.part.name] = kept  # type: ignore[assignment] # told apart by what is asked of them
        self.prepares: Callable[[], Awaitable[None]] = self.prepared
        self.own_servers: dict[str, str] = {}
        system: Any = SimpleNamespace(
            state="the state",
            existing=SimpleNamespace(urls=self.own_servers),
            broker=SimpleNamespace(port=7, password="secret"),
        )
        setup: Any = SimpleNamespace(prepare=lambda: self.prepares(), steps={"migrations": self.migrations})
        self.standstill = Standstill(system, self.fleet, setup)
        for name in ("snapshots", "freeze", "restore"):
            patch.setattr(standstill, name, self.module())
        patch.setattr(probe, "ask", self.asked)
        patch.setattr(standstill, "exited", self.exited)

    def module(self) -> Any:
        def step(name: str) -> Callable[..., Any]:
            def do(*given: Any) -> Any:
                self.steps.append(" ".join([name, *(str(self.short(one)) for one in given if one != "the state")]))
                if name == self.fails:
                    raise StartError(f"{name} failed")
                return {"freeze": [1, 2], "begin": "fresh", "finish": {"bytes": 1}}.get(name)

            return do

        names = ("begin", "copy", "finish", "freeze", "thaw", "stage", "swap", "confirm", "undo")
        return SimpleNamespace(**{name: step(name) for name in names})

    def short(self, given: Any) -> Any:
        """Parts by their names."""
        names: dict[Any, str] = {k.process.pid: k.part.name for k in self.fleet.keepers.values() if k.process}
        return [names.get(one, one) for one in given] if isinstance(given, list) else given

    async def asked(self, port: int, order: bytes, until: bytes, **_: float) -> str:
        first, flush, *_rest = order.decode().split("\r\n")
        assert (port, first, until) == (7, "AUTH secret", b"+PONG\r\n")
        self.steps.append(flush.removeprefix("CONFIG SET "))
        return ""

    async def exited(self, process: Any) -> None:
        self.steps.append(f"{process.name} has ended")

    async def prepared(self) -> None:
        """What runs again by itself meanwhile."""
        assert self.fleet.may_start.is_set()
        assert not self.migrations.is_set(), "services would start on tables of another state"
        self.steps.append("prepare")
        for kept in self.crashed:
            kept.process, kept.state = SimpleNamespace(pid=next(PIDS), name=kept.part.name), kept.becomes
        self.fleet.touch()


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


SAVED = [
    "begin one",
    "appendfsync always",
    "freeze ['api-auth', 'postgres', 'redis-broker']",
    "copy fresh",
    "meanwhile",
    "thaw [1, 2]",
    "appendfsync everysec",
    "finish fresh one",
]


async def test_what_is_saved_is_copied_while_all_that_lives_stands_still_and_the_broker_flushes_all(
    world: World,
) -> None:
    await world.standstill.save("one", lambda: world.steps.append("meanwhile"))
    assert world.steps == SAVED


async def test_a_copy_that_fails_leaves_no_one_standing_and_the_broker_as_it_was(world: World) -> None:
    world.fails = "copy"
    with pytest.raises(StartError, match="copy failed"):
        await world.standstill.save("one")
    assert world.steps == [*SAVED[:4], *SAVED[5:7]]


async def test_two_are_saved_one_after_the_other(world: World) -> None:
    await asyncio.gather(world.standstill.save("one"), world.standstill.save("two"))
    one = [step for step in SAVED if step != "meanwhile"]
    assert world.steps == [*one, *(step.replace("one", "two") for step in one)]


async def test_with_servers_of_one_s_own_there_are_no_snapshots(world: World) -> None:
    world.own_servers["postgres"] = "postgresql://own"
    for asked in (world.standstill.save("one"), world.standstill.restore("one")):
        with pytest.raises(StartError, match="snapshots need the embedded servers, and postgres is your own"):
            await asked
    assert world.steps == []


CRASHED = [
    "api-auth SIGKILL",
    "worker-ai SIGKILL",
    "syncer-ai SIGKILL",
    # Its shared memory goes with it: a SIGKILL would leave that for the next start to find.
    "postgres SIGQUIT",
    "redis-broker SIGKILL",
    *(f"{name} has ended" for name in ("api-auth", "worker-ai", "syncer-ai", "postgres", "redis-broker")),
]


async def test_a_state_is_swapped_when_all_who_hold_it_have_ended_and_kept_when_all_run_on_it(world: World) -> None:
    await world.standstill.restore("one")
    assert world.steps == ["stage one", *CRASHED, "swap", "prepare", "confirm"]
    assert world.said == []


async def test_a_state_is_neither_saved_nor_swapped_while_another_is_swapped(world: World) -> None:
    await asyncio.gather(*(world.standstill.restore(name) for name in ("one", "two")), world.standstill.save("one"))
    swapped = ["stage one", *CRASHED, "swap", "prepare", "confirm"]
    saved = [step for step in SAVED if step != "meanwhile"]
    assert world.steps == [*swapped, *(step.replace("one", "two") for step in swapped), *saved]


async def test_a_part_that_is_seen_ready_in_its_last_moment_is_not_the_one_that_runs_on_the_new_state(
    world: World,
) -> None:
    first: Any = world.fleet.keepers["api-auth"]

    def begin() -> None:
        world.steps.append("api-auth begins")
        first.process = SimpleNamespace(pid=next(PIDS), name="api-auth")
        world.fleet.touch()

    async def prepare() -> None:
        world.crashed.remove(first)
        await world.prepared()
        first.state = "ready"
        asyncio.get_running_loop().call_later(0.01, begin)

    world.prepares = prepare
    await world.standstill.restore("one")
    assert world.steps[-2:] == ["api-auth begins", "confirm"]


async def test_on_what_does_not_start_the_state_before_is_brought_back(world: World) -> None:
    first: Any = world.fleet.keepers["api-auth"]
    first.becomes = "failed"
    with pytest.raises(StartError) as told:
        await world.standstill.restore("one")
    assert [step for step in world.steps if " " not in step] == ["swap", "prepare", "undo", "prepare"]
    assert world.said == ["one did not start: api-auth: no such table; the state before is brought back"]
    assert str(told.value) == (
        "one was not restored, for the system did not start on it: api-auth: no such table; "
        "neither did the state before: api-auth: no such table"
    )


async def test_roles_that_can_not_be_made_are_a_reason_too_and_the_state_before_is_as_it_was(world: World) -> None:
    tries = 0

    async def prepare() -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise StartError("no roles")
        await world.prepared()

    world.prepares = prepare
    with pytest.raises(StartError, match=r"did not start on it: no roles; the state is as it was$"):
        await world.standstill.restore("one")
    assert "confirm" not in world.steps


async def test_roles_that_are_made_without_end_are_not_waited_for_when_a_part_does_not_start(world: World) -> None:
    first: Any = world.fleet.keepers["api-auth"]
    first.becomes = "failed"

    async def prepare() -> None:
        await world.prepared()
        await asyncio.Future()

    world.prepares = prepare
    async with asyncio.timeout(30):
        with pytest.raises(StartError, match="neither did the state before"):
            await world.standstill.restore("one")


@pytest.mark.parametrize("fails", ["stage", "swap"])
async def test_after_a_step_that_fails_parts_may_start_again(world: World, fails: str) -> None:
    world.fails = fails
    with pytest.raises(StartError, match=f"{fails} failed"):
        await world.standstill.restore("one")
    assert world.fleet.may_start.is_set()
    assert ("swap" in world.steps) is (fails == "swap")
    assert "confirm" not in world.steps
    world.fails = ""
    await world.standstill.restore("one")  # and another one may begin
