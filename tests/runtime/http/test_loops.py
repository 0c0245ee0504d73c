"""Every loop of an API service's host is killed once, by name: it lives again, and what it is there for works."""

import asyncio
from collections.abc import Callable

from shared import identity, supervision
from shared.ids import new_id
from shared.redis import connect_async
from tests.conftest import Person, Serve


async def until(holds: Callable[[], bool], what: str) -> None:
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110 - what is waited for is in many places
            await asyncio.sleep(0.02)
    assert holds(), what


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
