"""More or fewer replicas, and services that come and go, step by step: who is sent what when, on addresses that listen"""

import asyncio
import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec import structs

from emulator import newcomers
from emulator.fleet import Fleet
from emulator.keeper import Keeper
from emulator.keeper import State as Lives
from emulator.newcomers import Newcomers
from emulator.part import Part
from emulator.process import CalledWrongly, StartError
from emulator.replicas import Replicas
from emulator.state.folder import State
from emulator.system import System
from runtime import redis_users
from tests.emulator.trials import Trials


class World:
    """The parts of an emulator that do not run, and what proxy and gateway are told in the course of things."""

    def __init__(self, folder: Path) -> None:
        self.steps: list[str] = []
        self.said: list[str] = []
        self.system = System(State(folder), None, {}, 0, None, {"api-waste": 2, "worker-ai": 2})
        self.fleet = Fleet(Trials(folder), {}, self.said.append)  # type: ignore[arg-type] # no processes
        for part in self.system.parts():
            self.fleet.add(part).state = "ready"
        self.becomes: dict[str, Lives] = {}
        self.fleet.join, self.fleet.leave = self.join, self.leave  # type: ignore[method-assign] # no processes
        self.replicas = Replicas(self.system, self.fleet, self.order_proxy, self.order_gateway, self.said.append)

    def join(self, part: Part) -> Keeper:
        self.steps.append(f"join {part.name}")
        keeper = self.fleet.add(part)

        def settle() -> None:
            keeper.state, keeper.error = self.becomes.get(part.name, "ready"), "no such table"
            self.steps.append(f"{part.name} {keeper.state}")
            self.fleet.touch()

        asyncio.get_running_loop().call_soon(settle)
        return keeper

    async def leave(self, name: str) -> None:
        await asyncio.sleep(0)
        self.steps.append(f"leave {name}")
        del self.fleet.keepers[name]

    def order_proxy(self) -> None:
        """Whom requests are sent to, and who is let send."""
        links = self.system.addresses.links(self.fleet.away())
        places = {place.name for link in links for place in link.to if place.name.startswith("api-waste")}
        sources = {link.source for link in links if link.source.startswith(("api-waste", "worker-ai", "syncer-ai"))}
        self.steps.append(f"proxy: {len(places)} places, {len(sources)} sources")

    def order_gateway(self) -> None:
        self.steps.append(f"gateway: {', '.join(name for _, _, name, _ in self.system.routes()) or 'nothing apart'}")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(os, "fsync", lambda file: None)  # no port of these has to outlive a power cut
    made = World(tmp_path)
    yield made
    made.system.addresses.close()


async def test_whom_new_ones_talk_to_comes_first_and_they_are_asked_when_they_are_ready(world: World) -> None:
    assert await world.replicas.scale({"api-waste": 4}) == ["api-waste: 4 replicas, before 2"]
    sources = 4 + 4  # the workers and their syncers
    assert world.steps == [
        f"proxy: 4 places, {4 + 4} sources",
        *("join api-waste/3", "join api-waste/4", "api-waste/3 ready", "api-waste/4 ready"),
        *[f"proxy: 4 places, {sources} sources"] * 2,
    ]
    assert world.said == ["api-waste: 4 replicas, before 2"]


async def test_who_goes_gets_nothing_new_before_it_ends_and_keeps_its_own_ways_until_it_has(world: World) -> None:
    await world.replicas.scale({"api-waste": 1})
    assert world.steps == [
        "proxy: 2 places, 6 sources",
        "proxy: 1 places, 6 sources",
        "leave api-waste/2",
        "proxy: 1 places, 5 sources",
    ]
    world.steps.clear()
    await world.replicas.scale({"worker-ai": 1})
    # After the worker: what it did last is synced.
    assert [step for step in world.steps if "proxy" not in step] == ["leave worker-ai/2", "leave syncer-ai/2"]
    assert world.steps[-2:] == ["leave syncer-ai/2", "proxy: 1 places, 3 sources"]


async def test_one_that_does_not_start_is_told_with_the_others_there(world: World) -> None:
    world.becomes["api-waste/3"] = "failed"
    with pytest.raises(StartError, match=r"^api-waste/3 did not start: no such table; it is tried again$"):
        await world.replicas.scale({"api-waste": 3})
    assert world.system.addresses.count(world.system.services["waste"]) == 3
    assert world.said == []


async def test_a_function_of_its_own_is_sent_requests_when_it_is_ready_and_none_before_it_goes(world: World) -> None:
    await world.replicas.scale({"waste/get_stats": 1})
    name = "api-waste-get-stats"
    steps = [step for step in world.steps if "proxy" not in step]
    assert steps == [f"join {name}", f"{name} ready", f"gateway: {name}"]
    world.steps.clear()
    await world.replicas.scale({"waste/get_stats": 0})
    assert [step for step in world.steps if "proxy" not in step] == ["gateway: nothing apart", f"leave {name}"]
    assert await world.replicas.scale({"waste/get_stats": 1}) == [f"{name}: 1 replica, before 0"]


async def test_two_orders_are_carried_out_one_after_the_other(world: World, tmp_path: Path) -> None:
    await asyncio.gather(*(world.replicas.scale({"api-waste": count}) for count in (3, 1)))
    moves = [step for step in world.steps if "proxy" not in step]
    assert moves == ["join api-waste/3", "api-waste/3 ready", "leave api-waste/3", "leave api-waste/2"]
    (tmp_path / "apart").mkdir()
    apart = World(tmp_path / "apart")
    for count in (3, 1):
        await apart.replicas.scale({"api-waste": count})
    assert world.steps == apart.steps, "and the proxy is told as of one alone"
    apart.system.addresses.close()


async def test_what_can_not_be_is_said_before_anything_is_done(world: World) -> None:
    for wanted in (
        *({"api-waste": 0}, {"api-waste": 17}, {"waste/get_stats": -1}, {"waste/get_stats": 17}),
        *({"api-waste": 3, "api-auth": 17}, {"api-waste": 3, "api-nothing": 2}),
    ):
        with pytest.raises(CalledWrongly):
            await world.replicas.scale(wanted)
        assert world.steps == [], wanted
    for wanted in ({"api-waste": 16}, {"api-waste": 1}, {"waste/get_stats": 0}):
        await world.replicas.scale(wanted)


async def test_replicas_are_replaced_one_after_the_other_and_the_next_only_after_one_that_is_ready(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def renew(keeper: Keeper, *, overlapping: bool) -> None:
        world.steps.append(f"{keeper.part.name} begins{' beside' if overlapping else ''}")
        await asyncio.sleep(0)
        world.steps.append(f"{keeper.part.name} ends")

    monkeypatch.setattr(Keeper, "renew", renew)
    rolls = [world.replicas.roll("waste"), world.replicas.roll("worker-ai")]
    assert (await asyncio.gather(*rolls))[0] == ["api-waste", "api-waste/2"]
    assert world.said[0] == "rolled api-waste, api-waste/2"
    assert world.steps == [
        *("api-waste begins beside", "api-waste ends", "api-waste/2 begins beside", "api-waste/2 ends"),
        *[f"{name} {does}" for name in ("worker-ai", "worker-ai/2", "syncer-ai", "syncer-ai/2") for does in ("begins", "ends")],
    ]  # fmt: skip
    world.steps.clear()
    keeper = world.fleet.keepers["api-waste"]
    keeper.state, keeper.error = "failed", "no such table"
    with pytest.raises(StartError, match=r"^api-waste did not start: no such table; the others were not replaced$"):
        await world.replicas.roll("waste")
    assert world.steps == ["api-waste begins beside", "api-waste ends"]


# Services that come and go


class Checkout:
    """What service.toml files say by now."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.there, self.wrong = dict(world.system.services), dict[str, Any]()
        self.fails = ""

        async def prepare() -> None:
            world.steps.append("schema")
            if self.fails:
                raise StartError(self.fails)

        monkeypatch.setattr(newcomers, "load_readable", lambda: (dict(self.there), dict(self.wrong)))
        monkeypatch.setattr(Newcomers, "_give_users", lambda self, service: world.steps.append(f"user {service.name}"))
        setup: Any = SimpleNamespace(prepare=prepare)
        self.newcomers = Newcomers(world.system, world.fleet, setup, world.order_gateway, world.said.append)


@pytest.fixture
def checkout(world: World, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    return Checkout(world, monkeypatch)


async def test_a_new_one_has_its_schema_and_user_before_it_runs_and_is_gone_before_its_address_is(
    world: World, checkout: Checkout
) -> None:
    new = structs.replace(world.system.services["auth"], folder="weather", name="api-weather", prefix="/api/v1/weather")
    checkout.there["weather"] = new
    assert await checkout.newcomers.follow() == {"weather"}
    assert world.steps == [
        *("schema", "user api-weather", "gateway: nothing apart", "join api-weather", "api-weather ready")
    ]
    assert world.said == ["api-weather is new: it answers"]
    assert not checkout.newcomers.behind
    assert world.system.services["weather"] == new
    assert world.system.addresses.port_of("api-weather")
    world.steps.clear()
    assert await checkout.newcomers.follow() == set()
    assert world.steps == []
    del checkout.there["weather"]
    await checkout.newcomers.follow()
    assert world.steps == ["gateway: nothing apart", "leave api-weather", "gateway: nothing apart"]
    assert world.said[-1] == f"api-weather is gone: its schema {new.database.schema} stays until `eco2 reset`"
    assert "weather" not in world.system.services
    with pytest.raises(KeyError):
        world.system.addresses.port_of("api-weather")


async def test_one_that_can_not_be_made_is_tried_again_with_whatever_is_saved_next(
    world: World, checkout: Checkout
) -> None:
    new = structs.replace(world.system.services["auth"], folder="weather", name="api-weather", prefix="/api/v1/weather")
    checkout.there["weather"], checkout.fails = new, "no such role"
    with pytest.raises(StartError, match="no such role"):
        await checkout.newcomers.follow()
    assert checkout.newcomers.behind
    assert "weather" not in world.system.services
    checkout.fails = ""
    world.becomes["api-weather"] = "failed"
    assert await checkout.newcomers.follow() == {"weather"}
    assert world.said == ["api-weather is new: it does not start: no such table"]


async def test_one_whose_file_is_wrong_goes_on_as_it_was_and_is_said_once(world: World, checkout: Checkout) -> None:
    del checkout.there["waste"]
    checkout.wrong["waste"] = "waste: no name"
    for _ in range(2):
        assert await checkout.newcomers.follow() == set()
    assert world.said == ["not reloaded: waste: no name; it goes on as it was"]
    assert (world.steps, world.system.left_out) == ([], checkout.wrong)
    checkout.wrong["weather"] = "weather: no name"
    await checkout.newcomers.follow()
    assert world.said[1:] == ["not reloaded: weather: no name; it is left out"]


@pytest.mark.parametrize(("what", "told"), [("prefix", True), ("functions", False)])
async def test_what_holds_after_a_restart_alone_is_said(
    world: World, checkout: Checkout, what: str, told: bool
) -> None:
    changed: Any = {"prefix": "/api/v2/waste"} if what == "prefix" else {"functions": {"get_stats": None}}
    checkout.there["waste"] = structs.replace(checkout.there["waste"], **changed)
    await checkout.newcomers.follow()
    assert world.said == (
        ["functions/waste/service.toml has changed: it holds after a restart (`eco2 down`, `eco2 up`)"] if told else []
    )
    assert world.steps == []


def test_of_a_new_one_each_redis_knows_its_user_and_whom_it_may_send_to(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, ...]] = []

    @dataclasses.dataclass
    class There:
        url: str

        def __enter__(self) -> "There":
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def execute_command(self, *words: str) -> None:
            told.append((self.url, *words))

    import redis

    monkeypatch.setattr(redis.Redis, "from_url", lambda url, socket_timeout: There(url))
    weather = structs.replace(world.system.services["waste"], folder="weather", name="api-weather")
    makes: Any = None
    Newcomers(world.system, world.fleet, makes, makes, makes)._give_users(weather)
    everyone = world.system.services | {"weather": weather}
    expected = [
        (server.url, "ACL", "SETUSER", name, "resetpass", *rules)
        for server in (world.system.broker, world.system.cache)
        for line in redis_users.lines(server.kind, everyone, [server.password]).splitlines()
        for _, name, *rules in [redis_users.words(line)]
    ]
    assert told == expected
    assert {words[3] for words in told if words[0] == world.system.cache.url} >= {"api-weather"}
    told.clear()
    world.system.existing.urls = {"redis-broker": "redis://own"}
    Newcomers(world.system, world.fleet, makes, makes, makes)._give_users(weather)
    assert {words[0] for words in told} == {world.system.cache.url}, "a server of one's own is one's own"
