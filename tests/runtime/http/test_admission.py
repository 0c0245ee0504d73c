"""Admission: whose turn it is, who is refused and what they are told, and who holds no place any more."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx
import pytest
from litestar import get, post
from litestar.params import JSONBody
from litestar.response import Stream

from runtime.http import admission
from runtime.http.admission import Lane, Left, Overloaded, Place
from runtime.http.edge import Edge
from runtime.http.hosted import Hosted, read_settings
from runtime.services import find
from runtime.telemetry import AccessLog
from shared.errors import Unavailable
from shared.http import CurrentUser
from tests import support, web
from tests.conftest import Person


async def never() -> None:
    await asyncio.Event().wait()


class Crowd:
    """Requests that wait in a lane, by the names of who sent them; `order` is who was given a place so far."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.order: list[str] = []
        self.places: list[Place] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def come(self, *names: str, gone: Callable[[], Awaitable[None]] = never) -> None:
        for name in names:
            self.tasks.append(asyncio.create_task(self._wait(name, gone)))
            await asyncio.sleep(0)

    async def _wait(self, name: str, gone: Callable[[], Awaitable[None]]) -> None:
        place = self.lane.take() or await self.lane.wait(name, gone)
        self.order.append(name)
        self.places.append(place)

    async def serve(self) -> None:
        """One after another until no one waits."""
        while self.places:
            self.places.pop(0).leave()
            for _ in range(5):
                await asyncio.sleep(0)


def busy(seconds: float, places: int = 1) -> Lane:
    """A lane whose places are all taken, and whose requests have taken so long until now."""
    lane = Lane(places)
    for _ in range(places):
        assert lane.take()
    lane.taken += 1
    lane.left(seconds)
    return lane


async def test_people_take_turns_and_each_ones_requests_keep_their_order() -> None:
    crowd = Crowd(Lane(1))
    await crowd.come("first", "many", "many", "many", "one", "two", "one")
    assert crowd.order == ["first"]
    await crowd.serve()
    assert crowd.order == ["first", "many", "one", "two", "many", "one", "many"]


async def test_who_comes_later_stands_behind_who_waits_although_a_place_is_free() -> None:
    lane = Lane(1)
    place = lane.take()
    assert place is not None
    waiting = asyncio.create_task(lane.wait("early", never))
    await asyncio.sleep(0)
    place.leave()
    assert lane.take() is None
    assert await waiting


async def test_who_gives_up_their_last_turn_has_it_back_for_what_they_ask_next() -> None:
    crowd = Crowd(Lane(1))
    await crowd.come("first", "many", "many", "many")
    crowd.tasks[-1].cancel()
    await asyncio.wait(crowd.tasks[-1:])
    await crowd.come("many", "other", "other", "other")
    await crowd.serve()
    assert crowd.order == ["first", "many", "other", "many", "other", "many", "other"]


async def test_of_who_has_waited_nothing_is_left_and_they_come_again_as_anybody() -> None:
    crowd = Crowd(Lane(1))
    await crowd.come("first", "many", "many", "many", "one")
    await crowd.serve()
    assert crowd.lane._last == {}
    await crowd.come("first", "one", "many")
    await crowd.serve()
    assert crowd.order[-3:] == ["first", "one", "many"]
    await crowd.come("first", "many", "one")
    await crowd.serve()
    assert crowd.order[-3:] == ["first", "many", "one"], "neither is behind for what was before"


async def test_no_more_than_the_places_are_answered_at_once() -> None:
    crowd = Crowd(Lane(3))
    await crowd.come(*(str(number) for number in range(10)))
    assert (len(crowd.places), crowd.lane.taken, crowd.lane.waiting) == (3, 3, 7)
    await crowd.serve()
    assert (len(crowd.order), crowd.lane.taken, crowd.lane.waiting) == (10, 0, 0)


async def test_a_place_is_left_once() -> None:
    lane = Lane(2)
    place = lane.take()
    assert place is not None
    assert lane.take() is not None
    place.leave()
    place.leave()
    assert lane.taken == 1


async def test_who_would_wait_longer_than_a_client_does_is_refused_at_once() -> None:
    crowd = Crowd(busy(1.0))
    # Each takes a second: the seventh has its place after seven, and its answer after eight.
    await crowd.come(*(str(number) for number in range(7)))
    assert crowd.lane.waiting == 7
    with pytest.raises(Overloaded) as refused:
        await crowd.lane.wait("late", never)
    assert (refused.value.status, refused.value.headers) == (503, {"Retry-After": "1"})
    assert crowd.lane.waiting == 7
    for task in crowd.tasks:
        task.cancel()
    await asyncio.gather(*crowd.tasks, return_exceptions=True)
    assert crowd.lane.waiting == 0


async def test_a_second_person_is_let_in_where_the_first_ones_next_is_refused() -> None:
    crowd = Crowd(busy(1.0))
    await crowd.come(*["many"] * 7)
    with pytest.raises(Overloaded):
        await crowd.lane.wait("many", never)
    await crowd.come("one")
    assert crowd.lane.waiting == 8
    for task in crowd.tasks:
        task.cancel()
    await asyncio.gather(*crowd.tasks, return_exceptions=True)


async def test_those_who_are_refused_are_told_to_come_one_after_another() -> None:
    crowd = Crowd(busy(2.0))
    await crowd.come("a", "b", "c")
    told = []
    for number in range(5):
        with pytest.raises(Overloaded) as refused:
            await crowd.lane.wait(f"late-{number}", never)
        told.append(int(refused.value.headers["Retry-After"]))
    assert told == [2, 4, 6, 8, 10]
    for _ in range(200):
        with pytest.raises(Overloaded) as refused:
            await crowd.lane.wait("more", never)
    assert int(refused.value.headers["Retry-After"]) == admission.LATEST
    for task in crowd.tasks:
        task.cancel()
    await asyncio.gather(*crowd.tasks, return_exceptions=True)


async def test_the_line_has_an_end_however_quick_the_answers() -> None:
    crowd = Crowd(busy(0.000001))
    await crowd.come(*(str(number) for number in range(admission.MOST)))
    with pytest.raises(Overloaded):
        await crowd.lane.wait("late", never)
    for task in crowd.tasks:
        task.cancel()
    await asyncio.gather(*crowd.tasks, return_exceptions=True)


async def test_a_client_that_leaves_gives_up_its_turn() -> None:
    crowd, left = Crowd(Lane(1)), asyncio.Event()

    async def gone() -> None:
        await left.wait()

    await crowd.come("first", "stays")
    await crowd.come("leaves", gone=gone)
    await crowd.come("behind")
    left.set()
    for _ in range(5):
        await asyncio.sleep(0)
    assert crowd.lane.waiting == 2
    with pytest.raises(Left):
        await crowd.tasks[2]
    await crowd.serve()
    assert crowd.order == ["first", "stays", "behind"]
    assert crowd.lane.taken == 0


async def test_who_has_a_turn_is_listened_to_no_more_in_the_line() -> None:
    """What listens there would take what the function is to hear: that its client has left."""
    crowd, ended = Crowd(Lane(1)), asyncio.Event()

    async def gone() -> None:
        try:
            await never()
        finally:
            ended.set()

    await crowd.come("first")
    await crowd.come("next", gone=gone)
    await crowd.serve()
    assert crowd.order == ["first", "next"]
    assert ended.is_set()


async def test_a_turn_that_comes_as_the_request_is_ended_goes_to_the_next() -> None:
    crowd = Crowd(Lane(1))
    await crowd.come("first", "ends", "next")
    crowd.places.pop().leave()
    crowd.tasks[1].cancel()
    for _ in range(5):
        await asyncio.sleep(0)
    assert crowd.order == ["first", "next"]
    assert (crowd.lane.taken, crowd.lane.waiting) == (1, 0)


async def test_no_one_waits_for_what_is_away() -> None:
    away = False
    lane = Lane(1, lambda: away)
    place = lane.take()
    assert place is not None
    waiting = [asyncio.create_task(lane.wait(str(number), never)) for number in range(3)]
    await asyncio.sleep(0)
    away = True
    with pytest.raises(Unavailable, match="database"):
        await lane.wait("late", never)
    place.leave()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(one) for one in found] == [Unavailable] * 3
    assert (lane.taken, lane.waiting) == (0, 0)


# In a host


class Doors:
    """Handlers that answer when they are told."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.inside = 0

        @get("/wait")
        async def wait() -> str:
            self.inside += 1
            await self.open.wait()
            return "done"

        @get("/mine")
        async def mine(user: CurrentUser) -> str:
            return await wait.fn()  # type: ignore[no-any-return]  # Litestar types no handler's function

        @post("/send", status_code=201)
        async def send(data: JSONBody[dict[str, str]]) -> str:
            self.inside += 1
            await self.open.wait()
            return "sent"

        @get("/things/events")
        async def events() -> Stream:
            async def pieces() -> AsyncIterator[bytes]:
                yield b"data: 1\n\n"
                await self.open.wait()
                yield b"data: 2\n\n"

            return Stream(pieces(), media_type="text/event-stream")

        @get("/broken")
        async def broken() -> None:
            raise RuntimeError("meant")

        self.handlers = [wait, mine, send, events, broken]


@asynccontextmanager
async def hosted(environment: dict[str, str], doors: Doors) -> AsyncIterator[tuple[Edge, Hosted]]:
    service = find("auth")
    one = Hosted(service, read_settings(service, environment), background=False, handlers=doors.handlers)
    app = Edge([one], AccessLog("auth", "json", enabled=False))
    async with support.lifespan(app):
        yield app, one


def lanes(one: Hosted) -> list[Lane]:
    return one._lanes


async def test_a_host_answers_so_many_at_once_and_health_meanwhile(environment: dict[str, str]) -> None:
    doors = Doors()
    async with hosted(environment, doors) as (app, one), support.listening(app) as url:
        places = 2 * one.service.database.pool
        async with web.AsyncClient(base_url=url, limits=httpx.Limits(max_connections=100)) as client:
            asked = [asyncio.create_task(client.get("/api/v1/auth/wait")) for _ in range(places + 5)]
            await support.until(lambda: sum(lane.waiting for lane in lanes(one)) == 5)
            assert doors.inside == places
            assert (await client.get("/healthz")).status_code == 200
            assert (await client.get("/readyz")).status_code == 200
            assert "eco2_requests_waiting" in (await client.get("/metrics")).text
            # A function of the same service has places of its own.
            assert (await client.get("/api/v1/auth/broken")).status_code == 500
            # A client that leaves the line makes room in it.
            asked.pop().cancel()
            await support.until(lambda: sum(lane.waiting for lane in lanes(one)) == 4)
            doors.open.set()
            assert {answer.status_code for answer in await asyncio.gather(*asked)} == {200}
            assert doors.inside == places + 4
        await support.until(lambda: all((lane.taken, lane.waiting) == (0, 0) for lane in lanes(one)))


async def test_an_event_stream_holds_no_place_once_it_has_begun(environment: dict[str, str]) -> None:
    doors = Doors()
    async with hosted(environment, doors) as (app, one), support.listening(app) as url:
        client = web.AsyncClient(base_url=url)
        async with client, client.stream("GET", "/api/v1/auth/things/events") as answer:
            assert await anext(answer.aiter_bytes()) == b"data: 1\n\n"
            assert [lane.taken for lane in lanes(one)] == [0] * len(lanes(one))
            doors.open.set()


async def test_a_body_that_has_not_come_yet_holds_no_place(environment: dict[str, str]) -> None:
    doors = Doors()
    async with hosted(environment, doors) as (app, one), support.listening(app) as url:
        host, port = url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        head = (
            "POST /api/v1/auth/send HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n"
        )
        writer.write(head.encode() + b'{"a"')
        await writer.drain()
        async with web.AsyncClient(base_url=url) as client:
            assert (await client.get("/healthz")).status_code == 200
        assert (doors.inside, [lane.taken for lane in lanes(one)]) == (0, [0] * len(lanes(one)))
        doors.open.set()
        writer.write(b': "b"  }')
        assert (await reader.readline()).split()[1] == b"201"
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("known", [False, True], ids=["strangers by the address that the proxy saw", "people by name"])
async def test_everybody_stands_in_line_once_a_round(
    environment: dict[str, str], person: Person, another_person: Person, known: bool
) -> None:
    doors = Doors()
    one_s, other_s = {"X-Forwarded-For": "192.0.2.1"}, {"X-Forwarded-For": "192.0.2.2"}
    if known:  # behind one address
        one_s, other_s = person.headers | one_s, another_person.headers | one_s
    async with hosted(environment | {"TRUSTED_HOPS": "1"}, doors) as (app, one), support.listening(app) as url:
        client = web.AsyncClient(base_url=url, limits=httpx.Limits(max_connections=100))

        def ask(headers: dict[str, str]) -> asyncio.Task[httpx.Response]:
            return asyncio.create_task(client.get(f"/api/v1/auth/{'mine' if known else 'wait'}", headers=headers))

        async with client:
            asked = [ask(one_s) for _ in range(2 * one.service.database.pool)]
            await support.until(lambda: doors.inside == len(asked))
            [lane] = [lane for lane in lanes(one) if lane.taken]
            asked += [ask(one_s), ask(one_s), ask(other_s)]
            await support.until(lambda: lane.waiting == 3)
            assert [len(line) for line in lane._rounds] == [2, 1]
            doors.open.set()
            await asyncio.gather(*asked)


async def test_time_in_which_the_process_stood_still_is_no_time_in_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "PATIENCE", 0.0)  # a second, which is the least
    monkeypatch.setattr(admission, "FREEZE", 0.2)
    lane = Lane(1)
    place = lane.take()
    assert place is not None
    waiting = asyncio.create_task(lane.wait("somebody", never))
    await asyncio.sleep(0)
    assert lane.waiting == 1
    # The loop and all that is on it stand still, as in a process that is stopped.
    time.sleep(1.0 + admission.FREEZE + 0.1)  # noqa: ASYNC251 - that is what is tried
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    place.leave()
    (await waiting).leave()
    assert lane.taken == 0
