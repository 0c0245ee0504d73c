"""All parts together: who waits for whom, in which order they end, and who is told of what changes"""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from emulator.fleet import Fleet
from emulator.process import CalledWrongly
from tests.emulator.trials import Trials

KINDS = ("server", "proxy", "gateway", "service", "worker", "syncer", "dashboard")


class Kept:
    """A part as its keeper tells of it."""

    def __init__(self, steps: list[str], kind: str, name: str) -> None:
        self.part = SimpleNamespace(kind=kind, name=name, family=name.partition("/")[0])
        self.steps = steps
        self.state, self.error, self.retiring = "ready", "no such table", False
        self.settled = asyncio.Event()

    async def release(self) -> None:
        await asyncio.sleep(0)
        self.steps.append(f"release {self.part.name}")

    async def stop(self) -> None:
        await asyncio.sleep(0)
        self.steps.append(self.part.name)


class World:
    def __init__(self, folder: Path) -> None:
        self.steps: list[str] = []
        self.step = asyncio.Event()
        self.fatal: list[str] = []
        self.fleet = Fleet(Trials(folder), {"migrations": self.step}, self.steps.append)  # type: ignore[arg-type] # no processes
        self.fleet.fatal = lambda error: self.fatal.append(str(error))

    def add(self, kind: str, name: str = "") -> Any:
        kept: Any = Kept(self.steps, kind, name or kind)
        self.fleet.keepers[kept.part.name] = kept
        return kept


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_who_takes_new_work_ends_first_and_who_keeps_things_last_and_none_is_started_meanwhile(
    world: World,
) -> None:
    for kind in KINDS:
        world.add(kind)
    await world.fleet.stop()
    assert world.steps[: len(KINDS)] == [f"release {kind}" for kind in KINDS]
    groups = [{"gateway", "dashboard"}, {"service", "worker"}, {"syncer"}, {"proxy"}, {"server"}]
    ended = world.steps[len(KINDS) :]
    for group in groups:
        assert set(ended[: len(group)]) == group
        del ended[: len(group)]
    assert ended == []


async def test_who_leaves_is_ended_before_it_is_forgotten_and_everybody_is_told(world: World) -> None:
    kept = world.add("service", "api-waste/2")
    there: list[bool] = []

    async def stop() -> None:
        there.append("api-waste/2" in world.fleet.keepers)

    kept.stop = stop
    gone = asyncio.create_task(world.fleet.until(lambda: not world.fleet.keepers))
    await turns()
    await world.fleet.leave("api-waste/2")
    await asyncio.wait_for(gone, 30)
    assert there == [True]


@pytest.mark.parametrize(
    ("state", "retiring", "away"),
    [
        *(("ready", False, False), ("ready", True, True), ("failed", False, True), ("paused", False, True)),
        ("restarting", False, False),  # its requests wait in the socket for it
    ],
)
def test_a_part_is_away_while_it_answers_no_one_for_some_time_or_is_to_get_nothing_new(
    world: World, state: str, retiring: bool, away: bool
) -> None:
    kept = world.add("service")
    kept.state, kept.retiring = state, retiring
    assert world.fleet.away() == ({"service"} if away else set())


def test_a_part_is_picked_by_its_number_and_all_by_their_name(world: World) -> None:
    both = [world.add("service", name) for name in ("api-waste", "api-waste/2")]
    world.add("service", "api-auth")
    assert world.fleet.pick("api-waste") == both
    assert world.fleet.pick("api-waste/1") == both[:1]
    assert world.fleet.pick("api-waste/2") == both[1:]
    for wrong in ("api-waste/3", "api-waste/0", "api", ""):
        with pytest.raises(CalledWrongly, match=f"there is no part {wrong}"):
            world.fleet.pick(wrong)


@pytest.mark.parametrize("needs", [(), ("migrations",), ("server",)])
async def test_a_part_starts_when_what_it_needs_is_there_and_never_while_the_state_is_swapped(
    world: World, needs: tuple[str, ...]
) -> None:
    server, fleet = world.add("server"), world.fleet
    part: Any = SimpleNamespace(needs=needs)
    fleet.may_start.clear()
    cleared = asyncio.create_task(fleet.cleared(part))
    await turns()
    assert not cleared.done()
    if needs:
        fleet.may_start.set()
        await turns()
        assert not cleared.done()
        fleet.may_start.clear()
        world.step.set()
        server.settled.set()
        await turns()
        assert not cleared.done(), "what it needed may have come while the state is swapped"
    fleet.may_start.set()
    await asyncio.wait_for(cleared, 30)


async def test_what_was_there_before_a_swap_is_waited_for_anew_after_it(world: World) -> None:
    part: Any = SimpleNamespace(needs=("migrations",))
    world.step.set()
    world.fleet.may_start.clear()
    cleared = asyncio.create_task(world.fleet.cleared(part))
    await turns()
    world.step.clear()
    world.fleet.may_start.set()
    await turns()
    assert not cleared.done(), "it would start on tables of another state"
    world.step.set()
    await asyncio.wait_for(cleared, 30)


@pytest.mark.parametrize("kind", KINDS)
async def test_what_nothing_runs_without_is_fatal_at_its_first_start_alone(world: World, kind: str) -> None:
    kept = world.add(kind)
    world.fleet.changed(kept)
    assert world.fatal == [], "it runs"
    kept.state = "failed"
    seen: list[str] = []
    told = asyncio.create_task(world.fleet.until(lambda: bool(seen)))
    await turns()
    seen.append(kind)
    world.fleet.changed(kept)
    await asyncio.wait_for(told, 30)
    essential = kind in ("server", "proxy", "gateway")
    assert world.fatal == (["no such table"] if essential else [])
    kept.settled.set()
    world.fleet.changed(kept)
    assert len(world.fatal) == essential, "it is started again like any other"


async def test_whoever_listens_hears_of_a_change_that_comes_while_others_are_told(world: World) -> None:
    heard: list[int] = []
    twice = asyncio.Event()

    def listen() -> None:
        heard.append(len(heard))
        if len(heard) == 1:
            world.fleet.touch()
        else:
            twice.set()

    world.fleet.listeners.append(listen)
    world.fleet.begin()
    await asyncio.wait_for(twice.wait(), 30)
    await world.fleet.stop()
    world.fleet.touch()
    await turns()
    assert heard == [0, 1], "after the stop no one is told any more"
