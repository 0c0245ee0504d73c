"""A ticket opens one address once, for a minute, for whom it was made, and the broker's files name none"""

from typing import Any

import pytest
from redis.asyncio import Redis

from shared import tickets
from shared.errors import Unavailable
from shared.identity import InvalidToken, Session, User, alias_of
from shared.ids import new_id
from shared.redis import connect_async

PATH = "/api/v1/waste/analyses/1/events"


@pytest.fixture
async def client(broker_url: str) -> Any:
    async with connect_async(broker_url) as made:
        yield made


def session() -> Session:
    user_id = new_id()
    return Session(User(user_id, new_id(), alias_of(user_id)), 1_800_000_000.5)


async def test_a_ticket_is_its_person_s_session_once(client: Redis) -> None:
    mine, another = session(), session()
    first, second = [await tickets.issue(client, PATH, one) for one in (mine, another)]
    assert first.ticket != second.ticket
    assert first.expires_in == tickets.SECONDS == 60
    assert await tickets.redeem(client, PATH, first.ticket) == mine
    with pytest.raises(InvalidToken, match="good once"):
        await tickets.redeem(client, PATH, first.ticket)
    assert await tickets.redeem(client, PATH, second.ticket) == another


async def test_at_another_address_it_opens_nothing_and_is_gone(client: Redis) -> None:
    made = await tickets.issue(client, PATH, session())
    for path in (f"{PATH}/", PATH):
        with pytest.raises(InvalidToken):
            await tickets.redeem(client, path, made.ticket)


@pytest.mark.parametrize("ticket", ["", "x" * 43, "*"])
async def test_what_is_none_opens_nothing(client: Redis, ticket: str) -> None:
    with pytest.raises(InvalidToken):
        await tickets.redeem(client, PATH, ticket)


async def test_the_broker_keeps_for_a_minute_what_leads_back_to_no_ticket(client: Redis) -> None:
    made = await tickets.issue(client, PATH, session())
    keys = [key async for key in client.scan_iter("ticket:*")]
    assert not any(made.ticket in key for key in keys)
    assert tickets._key(made.ticket) in keys
    assert 50 < await client.ttl(tickets._key(made.ticket)) <= 60
    assert made.ticket not in str(await client.get(tickets._key(made.ticket)))


async def test_without_the_broker_there_is_none() -> None:
    async with connect_async("redis://127.0.0.1:1") as nowhere:
        with pytest.raises(Unavailable):
            await tickets.issue(nowhere, PATH, session())
        with pytest.raises(Unavailable):
            await tickets.redeem(nowhere, PATH, "x")
