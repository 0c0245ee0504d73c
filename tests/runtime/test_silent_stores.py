"""A store that falls silent (connections stay open, nothing comes) is away: 503, soon, and nothing waits for ever."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator

import pytest

from shared.db import Database
from shared.errors import Unavailable
from shared.redis import connect_async, within
from tests.conftest import Person, Serve
from tests.proxies import ProxyThread

# Seconds after which a test gives up: without a limit of its own the wait would last for 20, or for ever.
GIVE_UP = 8.0


@pytest.fixture
def patient() -> None:
    """Services have the patience that is tried here."""


@pytest.fixture
def proxy() -> Iterator[ProxyThread]:
    with ProxyThread(seed=7) as proxy:
        yield proxy


def through(proxy: ProxyThread, name: str, url: str) -> str:
    """The address, by way of the proxy."""
    port = re.search(r"127\.0\.0\.1:(\d+)", url)
    assert port is not None
    return url.replace(port[0], f"127.0.0.1:{proxy.link(name, int(port[1]))}")


async def test_a_silent_database_is_a_503_on_a_connection_that_was_open(
    serve: Serve, proxy: ProxyThread, environment: dict[str, str], person: Person
) -> None:
    dsn = through(proxy, "postgres", environment["API_USERS_DB_URL"])
    client = await serve("userinfo", API_USERS_DB_URL=dsn)
    path = "/api/v1/users/me"
    assert (await client.get(path, headers=person.headers)).status_code == 200
    proxy.add("postgres", "hang")
    answers = await asyncio.wait_for(
        asyncio.gather(*(client.get(path, headers=person.headers) for _ in range(3))), GIVE_UP
    )
    assert {answer.status_code for answer in answers} == {503}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in answers)
    proxy.clear()
    for _ in range(100):
        if (await client.get(path, headers=person.headers)).status_code == 200:
            return
        await asyncio.sleep(0.1)
    pytest.fail("it does not come back")


async def test_a_statement_that_takes_long_on_a_server_that_answers_is_let_be(
    db: Callable[[str], Awaitable[Database]],
) -> None:
    users = await db("userinfo")
    async with users.connection() as conn:
        cursor = await conn.execute("SELECT 'slept' FROM pg_sleep(3)")
        assert await cursor.fetchone() == ("slept",)


async def test_a_silent_object_store_is_a_503(
    serve: Serve, proxy: ProxyThread, environment: dict[str, str], person: Person
) -> None:
    client = await serve("waste", S3_ENDPOINT_URL=through(proxy, "s3", environment["S3_ENDPOINT_URL"]))
    body = {"content_type": "image/jpeg", "size_bytes": 10}
    upload = (await client.post("/api/v1/waste/uploads", json=body, headers=person.headers)).json()
    body = {"image_key": upload["image_key"]}
    for _ in range(100):  # on a busy machine the store itself answers too late at first
        if (await client.post("/api/v1/waste/analyses", json=body, headers=person.headers)).status_code == 404:
            break
    else:
        pytest.fail("the store does not answer before it falls silent")
    proxy.add("s3", "hang")
    answer = await asyncio.wait_for(client.post("/api/v1/waste/analyses", json=body, headers=person.headers), GIVE_UP)
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1


async def test_a_silent_redis_is_waited_for_once_and_not_for_each_attempt(proxy: ProxyThread, broker_url: str) -> None:
    async with connect_async(through(proxy, "redis", broker_url)) as client:
        assert await client.ping()
        proxy.add("redis", "hang")
        with pytest.raises(Unavailable):
            async with asyncio.timeout(1.4):  # one attempt of the client's alone waits longer
                async with within("broker"):
                    await client.ping()
