"""Counters of what answering costs: whose, of which day, and for how long they are kept"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from shared import clock, spend
from shared.ids import new_id
from shared.redis import connect, connect_async
from shared.spend import DayUsedUp, Limits, Purse
from tests.support import answering

Later = Callable[[float], AbstractContextManager[None]]
PLENTY = Limits(10**9, 10**9)


@pytest.fixture
def client(broker_url: str) -> Iterator[Redis]:
    with connect(broker_url) as client:
        yield client


def until_midnight_in_korea() -> float:
    """Seconds until it is 15:00 in UTC."""
    now = clock.now()
    midnight = now.replace(hour=15, minute=0, second=0, microsecond=0)
    return ((midnight - now) % timedelta(days=1)).total_seconds()


@pytest.mark.parametrize(
    ("tokens", "micros", "fits"), [(100, 50, True), (101, 50, False), (100, 51, False), (0, 0, True)]
)
def test_what_is_left_may_be_spent_to_the_last(client: Redis, tokens: int, micros: int, fits: bool) -> None:
    person = spend.spender(new_id())
    reserved = Purse(client, Limits(100, 50), PLENTY).reserve(person, tokens, micros)
    assert (reserved is not None) == fits


async def test_the_day_ends_at_midnight_in_korea(client: Redis, broker_url: str, later: Later) -> None:
    user_id = new_id()
    purse, person = Purse(client, Limits(100, 100), PLENTY), spend.spender(user_id)
    seconds = until_midnight_in_korea()
    async with connect_async(broker_url) as broker:
        with later(seconds - 60):
            assert purse.reserve(person, 100, 1) is not None
            assert purse.reserve(person, 1, 1) is None
            with pytest.raises(DayUsedUp) as told:
                await spend.check(broker, user_id)
            assert 0 < int(told.value.headers["Retry-After"]) <= 61
        with later(seconds + 60):
            await spend.check(broker, user_id)
            assert purse.reserve(person, 100, 1) is not None


def test_counters_outlive_their_day_by_one_and_no_more(client: Redis) -> None:
    spending, refused = spend.spender(new_id()), spend.spender(new_id())
    purse = Purse(client, Limits(100, 100), PLENTY)
    assert purse.reserve(spending, 1, 1) is not None
    assert purse.reserve(refused, 101, 1) is None
    for person in (spending, refused):
        [key] = client.keys(f"spend:*{person}")
        assert 86_400 < int(str(client.ttl(key))) <= 2 * 86_400


def test_what_was_set_aside_is_replaced_by_what_was_spent(client: Redis) -> None:
    person = spend.spender(new_id())
    purse = Purse(client, Limits(100, 100), PLENTY)
    reserved = purse.reserve(person, 90, 90)
    assert reserved is not None
    purse.settle(reserved, 60, 30)
    assert purse.reserve(person, 41, 1) is None
    assert purse.reserve(person, 1, 71) is None
    assert purse.reserve(person, 40, 70) is not None


def test_what_is_no_one_s_counts_for_the_system_alone(client: Redis) -> None:
    purse = Purse(client, Limits(10, 10), PLENTY)
    reserved = purse.reserve("", 11, 11)
    assert reserved is not None
    assert [key.rpartition(":")[2] for key in reserved.keys] == [spend.SYSTEM]
    purse.settle(reserved, 0, 0)


async def test_a_broker_that_hangs_stops_no_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spend, "_PATIENCE", 0.05)
    done = asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await done.wait()

    patient: dict[str, Any] = {"socket_timeout": 600, "socket_connect_timeout": 600}
    async with answering(hang) as address, AsyncRedis.from_url(address.replace("http", "redis"), **patient) as hanging:
        try:
            async with asyncio.timeout(20):
                await spend.check(hanging, new_id())
        finally:
            done.set()
