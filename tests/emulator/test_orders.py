"""What a running emulator is asked: the answer to each order, and whom it has told of it"""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from emulator.fleet import Fleet
from emulator.keeper import Keeper
from emulator.network.faults import Faults
from emulator.orders import Orders
from emulator.process import CalledWrongly, StartError
from emulator.state.folder import State
from emulator.system import System
from shared import supervision
from tests.emulator.trials import Trials


class World:
    """Orders to parts that do not run."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.told: list[str] = []
        self.said: list[str] = []
        self.system = System(State(folder), None, {}, 0, None, {"api-waste": 2})
        self.fleet = Fleet(Trials(folder), {}, self.said.append)  # type: ignore[arg-type] # no processes
        for part in self.system.parts():
            self.fleet.add(part).state = "ready"
        self.faults = Faults()
        self.make()
        self.monkeypatch = monkeypatch

    def make(self) -> None:
        """As an emulator that begins now would have them."""
        setup: Any = SimpleNamespace(troubles=["a key is old"])
        self.orders = Orders(
            self.system,
            self.fleet,
            setup,
            self.faults,
            lambda: self.told.append(" ".join(["proxy", *self.faults])),
            lambda: self.told.append("gateway"),
            lambda: self.told.append("stop"),
            self.said.append,
        )

    async def ask(self, do: str, **request: Any) -> dict[str, Any]:
        return await self.orders.handle({"do": do, **request}, lambda line: None)

    async def fault(self, target: str, seconds: float | None = None, **more: Any) -> dict[str, Any]:
        return await self.ask("fault-add", fault={"target": target, "kind": "cut", **more}, seconds=seconds)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    made = World(tmp_path, monkeypatch)
    yield made
    made.system.addresses.close()


async def test_an_order_of_another_version_is_refused(world: World) -> None:
    with pytest.raises(StartError, match="does not know 'dance'"):
        await world.ask("dance")


async def test_the_status_is_what_is_known_and_only_who_looks_has_the_parts_asked(world: World) -> None:
    async def look() -> list[dict[str, Any]]:
        return [{"name": "asked"}]

    world.monkeypatch.setattr(world.fleet, "look", look)
    world.fleet.keepers["api-waste"].stale = "SyntaxError"
    world.system.existing.urls = {"postgres": "postgresql://me:secret@there:5432/one"}
    world.monkeypatch.setattr(supervision, "troubles", lambda: ["a loop is given up"])
    known = await world.ask("status")
    assert known["troubles"] == ["a key is old", "api-waste: SyntaxError", "a loop is given up"]
    assert known["recording"] is None
    first, *others = known["about"]["parts"]
    assert (first["name"], first["state"], first["address"]) == ("postgres", "existing", "there:5432/one")
    assert "secret" not in str(known), "it is printed, and a page shows it"
    assert {part["name"] for part in others} == set(world.fleet.keepers)
    assert [part["name"] for part in (await world.ask("status", look=True))["about"]["parts"]] == ["postgres", "asked"]


async def test_of_one_replica_or_of_all_the_order_is_carried_out(world: World) -> None:
    told: list[tuple[str, str]] = []

    def tell(name: str) -> Callable[[Keeper], None]:
        return lambda keeper: told.append((name, keeper.part.name))

    for name in ("kill", "pause", "resume"):
        world.monkeypatch.setattr(Keeper, name, tell(name))
    world.make()
    for name in ("kill", "pause", "resume"):
        told.clear()
        both = await world.ask(name, part="api-waste")
        assert [part["name"] for part in both["parts"]] == ["api-waste", "api-waste/2"]
        for one in ("api-waste/1", "api-waste/2"):
            await world.ask(name, part=one)
        assert told == [(name, part) for part in ("api-waste", "api-waste/2", "api-waste", "api-waste/2")]
    for wrong in ("api-wast", "api-waste/3", "api-waste/0", "api-auth/2"):
        with pytest.raises(CalledWrongly, match=f"there is no part {wrong}"):
            await world.ask("kill", part=wrong)


async def test_a_recording_has_the_state_it_begins_with_unless_that_is_not_wanted(world: World) -> None:
    asked: list[tuple[str, bool]] = []

    async def on(name: str, *, snapshot: bool) -> str:
        asked.append((name, snapshot))
        return "begun"

    world.monkeypatch.setattr(world.orders.recorder, "on", on)
    assert await world.ask("record-on", name="one") == {"said": "begun"}
    await world.ask("record-on", name="two", snapshot=False)
    assert asked == [("one", True), ("two", False)]


async def test_a_fault_is_told_the_proxy_when_it_begins_and_when_it_ends(world: World) -> None:
    assert (await world.fault("postgres"))["faults"] == ["f1: postgres cut"]
    await world.fault("s3", source="api-waste")
    assert (await world.ask("fault-list"))["faults"] == ["f1: postgres cut", "f2: s3 cut from api-waste"]
    assert (await world.ask("fault-clear", id="f1"))["faults"] == ["f2: s3 cut from api-waste"]
    with pytest.raises(CalledWrongly, match="there is no fault f1"):
        await world.ask("fault-clear", id="f1")
    assert await world.ask("fault-clear") == {"faults": []}
    assert world.told == ["proxy f1", "proxy f1 f2", "proxy f2", "proxy"]
    assert world.said[-2:] == ["fault f1 is over", "fault f2 is over"]


async def test_a_fault_for_a_time_ends_by_itself_and_others_hold(world: World) -> None:
    later: list[Any] = []
    world.monkeypatch.setattr(asyncio.get_running_loop(), "call_later", lambda *given: later.append(given))
    await world.fault("postgres", 60)
    await world.fault("s3")
    [(seconds, end, name)] = later
    assert seconds == 60
    end(name)
    assert list(world.faults) == ["f2"]
    assert world.told[-1] == "proxy f2"


@pytest.mark.parametrize(
    ("target", "source", "said"),
    [
        ("s3", "api-auth", "no connection from api-auth to s3; there are "),
        ("nothing", None, "no connection to nothing; there are "),
        ("s3", "nobody", "no part nobody has connections; those that have: "),
    ],
)
async def test_a_fault_that_would_hit_nothing_is_refused_with_what_there_is(
    world: World, target: str, source: str | None, said: str
) -> None:
    with pytest.raises(CalledWrongly) as told:
        await world.fault(target, source=source)
    assert str(told.value).startswith(said)
    links = world.system.addresses.links()
    known = {link.target for link in links if source is None or link.source == source} or {
        link.source for link in links
    }
    assert str(told.value).rpartition(said[-6:])[2] == ", ".join(sorted(known))
    assert (list(world.faults), world.told) == ([], [])
