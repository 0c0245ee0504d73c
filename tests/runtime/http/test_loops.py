"""Every loop of an API service's host is killed once, by name: it lives again, and what it is there for works."""

import asyncio

from runtime.http.hosted import Hosted, read_settings
from runtime.services import find
from shared import identity, supervision, wake
from shared.ids import new_id
from shared.redis import connect_async
from tests.conftest import Person, Serve
from tests.support import until


async def test_each_loop_of_a_host_lives_again_or_takes_the_process_along(
    serve: Serve, person: Person, broker_url: str
) -> None:
    before = {id(loop) for loop in supervision.loops()}

    def mine() -> dict[str, supervision.Loop]:
        return {loop.name: loop for loop in supervision.loops() if id(loop) not in before}

    client = await serve("location", background=True)
    assert (await client.get("/readyz")).status_code == 200
    wanted = {"revocations-location", "relay-location", "location-fetch", "location-finish", "location-keep"}
    await until(lambda: mine().keys() >= wanted and "start-location" not in mine(), "all have started")
    assert mine().keys() - wanted <= {"limits"}  # made once a process, by whoever needs it first
    for name in sorted(wanted - {"location-finish"}):
        loop = mine()[name]
        assert loop._rules.again
        loop.kill()
        await until(lambda loop=loop: (loop.ends, loop.state) == (1, "runs"), f"{name} runs again")
    # It has outcomes in its hands: its end is the process's.
    assert not mine()["location-finish"]._rules.again
    # What the first of them is there for: a session that ends elsewhere ends here.
    path = "/api/v1/locations/me"
    assert (await client.get(path, headers=person.headers)).status_code == 200
    async with connect_async(broker_url) as redis:
        await redis.zadd(identity.REVOKED_KEY, {"not an id": 1.0})
        await identity.announce_revocations(redis, [person.session_id, new_id()])
    async with asyncio.timeout(30):
        while (await client.get(path, headers=person.headers)).status_code != 401:  # noqa: ASYNC110 - a service is asked
            await asyncio.sleep(0.1)
    async with connect_async(broker_url) as redis:
        await redis.zrem(identity.REVOKED_KEY, "not an id")


async def test_a_start_that_is_cut_off_leaves_one_relay_and_one_consumer_and_stop_ends_them(
    environment: dict[str, str],
) -> None:
    """The thread in which they start goes on, whatever becomes of who waits for it."""
    service = find("location")
    before = {id(loop) for loop in supervision.loops()}

    def mine() -> list[str]:
        return sorted(loop.name for loop in supervision.loops() if id(loop) not in before and loop.name != "limits")

    hosted = Hosted(service, read_settings(service, environment))
    await hosted.start()
    hosted.warm()
    hosted._answered.set()
    (start,) = hosted._loops
    async with asyncio.timeout(60):
        while hosted._starting is None:  # noqa: ASYNC110 - the very next turn of the loop
            await asyncio.sleep(0)
    start.kill()
    await until(lambda: start.state == "done" and start.ends == 1, "it has started all the same")
    wanted = ["location-fetch", "location-finish", "location-keep", "relay-location", "revocations-location"]
    assert mine() == wanted
    assert wake.relay_of(hosted.settings.database_url) is hosted._background.relay
    await hosted.stop()
    assert mine() == []
    assert wake.relay_of(hosted.settings.database_url) is None


async def test_a_host_that_no_one_asks_starts_all_the_same_and_ends_it_all_when_it_stops_meanwhile(
    environment: dict[str, str],
) -> None:
    service = find("location")
    before = {id(loop) for loop in supervision.loops()}
    hosted = Hosted(service, read_settings(service, environment))
    await hosted.start()
    hosted.warm()
    (start, *_) = hosted._loops
    await until(lambda: hosted._starting is not None or start.ends > 0, "it starts")
    assert start.ends == 0
    await hosted.stop()
    assert [loop.name for loop in supervision.loops() if id(loop) not in before and loop.name != "limits"] == []
