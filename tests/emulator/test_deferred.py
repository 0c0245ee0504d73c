import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from emulator.deferred import Deferred, together


class World:
    """What runs beside, and how often the application was made; `fail` times that fails first."""

    def __init__(self, fail: int = 0) -> None:
        self.beside, self.made, self.fail = False, 0, fail
        self.begun = asyncio.Event()

    @asynccontextmanager
    async def live(self) -> AsyncIterator[str]:
        self.beside = True
        yield "given"
        self.beside = False

    async def build(self, given: str) -> Any:
        self.made += 1
        self.begun.set()
        await asyncio.sleep(0)
        if self.made <= self.fail:
            raise OSError("not yet")

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": f"{given} {scope['path']}".encode()})

        return app


@asynccontextmanager
async def running(*worlds: World) -> AsyncIterator[httpx.AsyncClient]:
    """The applications of a process between its start and its stop, on ports from 8001 on."""
    app = together({8001 + number: Deferred("/ready", one.live, one.build) for number, one in enumerate(worlds)})
    heard: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    told: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    life = asyncio.create_task(app({"type": "lifespan"}, told.get, heard.put))
    await told.put({"type": "lifespan.startup"})
    assert (await heard.get())["type"] == "lifespan.startup.complete"
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here:8001") as client:
        yield client
    await told.put({"type": "lifespan.shutdown"})
    assert (await heard.get())["type"] == "lifespan.shutdown.complete"
    await life


async def test_what_runs_beside_begins_at_once_and_the_application_is_made_when_someone_asks() -> None:
    world = World()
    async with running(world) as client:
        assert (await client.get("/ready")).status_code == 200
        assert (world.beside, world.made) == (True, 0)
        assert (await client.get("/page")).text == "given /page"
        assert world.made == 1
    assert not world.beside


async def test_those_who_ask_at_once_have_one_application() -> None:
    world = World()
    async with running(world) as client:
        answers = await asyncio.gather(*(client.get(f"/{number}") for number in range(5)))
    assert ([answer.text for answer in answers], world.made) == ([f"given /{number}" for number in range(5)], 1)


async def test_who_goes_away_while_it_is_made_takes_it_from_no_one_who_waits_for_it_too() -> None:
    world = World()
    async with running(world) as client:
        first, second = (asyncio.create_task(client.get(path)) for path in ("/first", "/second"))
        await world.begun.wait()
        first.cancel()
        assert (await second).text == "given /second"
    assert (first.cancelled(), world.made) == (True, 1)


async def test_an_application_that_could_not_be_made_is_made_for_the_next_who_asks() -> None:
    world = World(fail=1)
    async with running(world) as client:
        with pytest.raises(OSError, match="not yet"):
            await client.get("/page")
        assert (await client.get("/page")).text == "given /page"


async def test_two_on_one_process_live_together_and_each_answers_on_its_port() -> None:
    first, second = World(), World()
    async with running(first, second) as client:
        assert (first.beside, second.beside) == (True, True)
        assert (await client.get("http://here:8002/page")).text == "given /page"
        assert (first.made, second.made) == (0, 1)
    assert not first.beside
    assert not second.beside
