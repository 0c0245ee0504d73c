"""A recording begins and ends, step by step: no request falls between the state and the log, and a failure leaves nothing"""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from emulator.process import StartError
from emulator.recording import cached, form, opened, recorder, spanlog, work
from emulator.recording import folder as recordings
from emulator.recording.recorder import Recorder
from emulator.state.folder import State
from shared import clock


class World:
    """An emulator's state on disk; its gateway, its broker and its work as they tell of themselves."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.state = State(folder)
        self.state.create()
        self.steps: list[str] = []
        self.said: list[str] = []
        self.fails = ""
        self.lost, self.left = 3, [["trace"], ["trace"], []]
        addresses = SimpleNamespace(
            gateway_url="http://here", port_of=lambda name: 1, redis=lambda name: name, dsn=lambda *_: "dsn"
        )
        system: Any = SimpleNamespace(
            state=self.state, addresses=addresses, answers="stub", environments=SimpleNamespace(settings=dict)
        )
        standstill: Any = SimpleNamespace(save=self.save)
        self.recorder = Recorder(system, standstill, self.tell, self.said.append)
        patch.setattr(cached, "save", lambda server, folder: self.step(f"cache {server}"))
        patch.setattr(spanlog, "lost", lambda port: self.lost)
        patch.setattr(recorder, "_LAST_SPANS", 0.0)
        patch.setattr(Recorder, "_wait", lambda recorder, holds, seconds: self.wait(holds))
        patch.setattr(work, "Work", lambda dsn: self)

    def step(self, what: str) -> None:
        self.steps.append(what)
        if what.split()[0] == self.fails:
            raise StartError(f"{what} failed")

    def tell(self) -> None:
        order = self.recorder.order
        name = Path(order["record"]).name if order["record"] else "nothing"
        self.steps.append(f"gateway: {name}{', hold' if order['hold'] else ''}")

    async def wait(self, holds: Callable[[Any], bool]) -> None:
        """What the gateway says once it does as it is told; nothing else is what is waited for."""
        order = self.recorder.order
        there = {
            "x-eco2-held": "1" if order["hold"] else "0",
            "x-eco2-passing": "0",
            "x-eco2-recording": Path(order["record"]).name if order["record"] else "",
        }
        assert holds(there)
        for name, other in (("x-eco2-held", "0"), ("x-eco2-passing", "1")) if order["hold"] else ():
            assert not holds(there | {name: other})
        if not order["hold"]:
            assert not holds(there | {"x-eco2-recording": "another"})
        self.steps.append("wait")
        await asyncio.sleep(0)

    async def save(self, name: str, meanwhile: Callable[[], None]) -> None:
        self.step(f"save {name}")
        meanwhile()
        self.steps.append(f"open, requests {opened.open_one(self.state, requests=True) is not None}")
        if self.fails != "copy":
            (self.state.path / "snapshots" / name).mkdir(parents=True)

    # The work that is under way

    def open(self, now: float) -> list[str]:
        found = self.left.pop(0)
        self.steps.append(f"{len(found)} at work")
        return found

    def close(self) -> None:
        self.steps.append("left")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(tmp_path / "state", monkeypatch)
    monkeypatch.setattr(clock, "use_file", lambda file: None)
    return made


def home(world: World) -> list[str]:
    return sorted(path.name for path in recordings.home(world.state).iterdir())


BEGUN = [
    "cache redis-cache",
    "gateway: nothing, hold",
    "wait",
    "save recording-day",
    "open, requests True",
    "gateway: day",
    "wait",
]


async def test_no_one_is_let_in_while_the_state_is_saved_and_the_log_begins_in_that_moment(world: World) -> None:
    said = await world.recorder.on("day")
    assert said == "recording day: every request from now on, until `eco2 record off`"
    assert world.steps == BEGUN
    assert (world.state.path / "recordings/day" / form.SNAPSHOT).is_dir()
    assert not list((world.state.path / "snapshots").iterdir()), "it is the recording's, and none of the person's own"
    about = world.recorder.about
    assert about is not None
    assert (about["name"], about["ended"], about["ai"], about["requests"]) == ("day", "open", "stub", None)


async def test_without_a_state_it_begins_at_once(world: World) -> None:
    await world.recorder.on("day", snapshot=False)
    assert world.steps == [step for step in BEGUN if "save" not in step and "open" not in step]
    assert opened.open_one(world.state, requests=True) == world.state.path / "recordings/day"


async def test_it_ends_when_its_work_has_and_no_span_of_it_is_lost(world: World) -> None:
    await world.recorder.on("day")
    world.steps.clear()
    world.lost = 5

    def tell() -> None:
        World.tell(world)
        if "hold" not in world.steps[-1]:
            world.steps.append(f"requests {opened.open_one(world.state, requests=True) is not None}")

    world.recorder._tell = tell
    assert await world.recorder.off() == "day: 0 requests, 0.0 MB"
    assert world.steps == [
        *("gateway: day, hold", "wait", "gateway: nothing", "requests False", "wait"),
        *("1 at work", "1 at work", "0 at work", "left"),
    ]
    about = json.loads((world.state.path / "recordings/day/about.json").read_text())
    assert (about["ended"], about["requests"], about["spans_lost"]) == ("off", 0, 2)
    assert not (world.state.path / opened.OPEN).exists()
    assert world.recorder.about is None
    with pytest.raises(StartError, match="nothing is being recorded; `eco2 record on` begins"):
        await world.recorder.off()


async def test_work_that_does_not_end_is_counted_and_a_database_that_is_away_has_none(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "_WORKING", -1.0)
    await world.recorder.on("day")
    world.left = [["a", "b"]]
    assert (await world.recorder.off()).endswith("; work of 2 requests had not ended")
    assert world.steps[-1] == "left"

    def away(dsn: str) -> None:
        raise psycopg.OperationalError

    monkeypatch.setattr(work, "Work", away)
    await world.recorder.on("night")
    assert await world.recorder.off("down") == "night: 0 requests, 0.0 MB"
    assert [about["ended"] for about in recordings.every(world.state) if about["name"] == "night"] == ["down"]


@pytest.mark.parametrize("fails", ["cache", "save", "copy"])
async def test_one_that_can_not_begin_leaves_nothing_and_lets_everyone_in_again(world: World, fails: str) -> None:
    world.fails = fails
    with pytest.raises((StartError, OSError), match=f"{fails} .* failed|No such file"):
        await world.recorder.on("day")
    assert world.steps[-1] == "gateway: nothing"
    assert (home(world), world.recorder.about) == ([], None)
    assert not (world.state.path / opened.OPEN).exists()
    world.fails = ""
    await world.recorder.on("day")


async def test_one_that_can_not_end_in_order_lets_everyone_in_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.recorder.on("day")

    def full(*_: object, **__: object) -> None:
        raise OSError("no room")

    monkeypatch.setattr(opened, "mark_open", full)
    with pytest.raises(OSError, match="no room"):
        await world.recorder.off()
    assert world.steps[-1] == "gateway: nothing"


async def test_a_second_one_is_not_begun(world: World) -> None:
    begun = await asyncio.gather(world.recorder.on("day"), world.recorder.on("night"), return_exceptions=True)
    assert [str(one) for one in begun[1:]] == ["day is being recorded; `eco2 record off` ends it"]
    assert home(world) == ["day"]
    assert world.steps == BEGUN
