"""Buckets: shared through Redis, and by a process alone while Redis is away."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

from shared import rates
from shared.errors import TooMany, Unavailable
from shared.ids import new_id
from shared.redis import connect_async

Later = Callable[[float], AbstractContextManager[None]]


@pytest.fixture
async def client(broker_url: str, patient: None) -> AsyncIterator[Any]:
    rates.alone.until = 0.0
    async with connect_async(broker_url) as client:
        yield client


def a_bucket(burst: int = 3, interval: float = 60.0) -> rates.Bucket:
    return rates.bucket("test", new_id(), burst, interval)


async def test_a_burst_fits_and_no_more_also_when_all_come_at_once(client: Any) -> None:
    bucket = a_bucket()
    came = await asyncio.gather(*(rates.take(client, bucket) for _ in range(10)), return_exceptions=True)
    assert [isinstance(one, TooMany) for one in came].count(False) == 3


async def test_who_read_the_clock_first_and_comes_second_has_the_same_burst(client: Any, later: Later) -> None:
    bucket = a_bucket()
    with later(0.4):
        await rates.take(client, bucket)
    for _ in range(2):
        await rates.take(client, bucket)
    with pytest.raises(TooMany):
        await rates.take(client, bucket)


async def test_the_answer_says_when_the_next_fits(client: Any) -> None:
    bucket = a_bucket()
    for _ in range(3):
        await rates.take(client, bucket)
    with pytest.raises(TooMany) as refused:
        await rates.take(client, bucket)
    assert 55 <= int(refused.value.headers["Retry-After"]) <= 60


@pytest.mark.parametrize("kind", [TooMany, Unavailable])
@pytest.mark.parametrize(("seconds", "said"), [(0.0, "1"), (0.4, "1"), (2.6, "3")])
def test_whoever_is_to_come_again_is_told_a_whole_number_of_seconds_and_never_none(
    kind: type[TooMany | Unavailable], seconds: float, said: str
) -> None:
    assert kind(retry_after=seconds).headers == {"Retry-After": said}


async def test_what_does_not_fit_into_one_counts_in_none(client: Any) -> None:
    full, empty = a_bucket(burst=1), a_bucket(burst=1)
    await rates.take(client, full)
    with pytest.raises(TooMany):
        await rates.take(client, full, empty)
    await rates.take(client, empty)


async def test_a_look_counts_nothing_and_a_count_asks_nothing(client: Any) -> None:
    bucket = a_bucket(burst=1)
    assert await rates.wait(client, [bucket]) == 0
    assert await rates.wait(client, [bucket]) == 0
    await rates.count(client, [bucket])
    assert await rates.wait(client, [bucket]) > 0
    await rates.forget(client, [bucket])
    assert await rates.wait(client, [bucket]) == 0


async def test_with_redis_away_the_same_limit_holds_in_each_process() -> None:
    rates.alone.until = 0.0
    bucket = a_bucket()
    async with connect_async("redis://127.0.0.1:1") as nowhere:
        for _ in range(3):
            assert await rates.wait(nowhere, [bucket]) == 0
            await rates.take(nowhere, bucket)
            assert rates.alone.now, "the next one does not wait for Redis"
        with pytest.raises(TooMany):
            await rates.take(nowhere, bucket)
        assert await rates.wait(nowhere, [bucket]) > 0
        await rates.forget(nowhere, [bucket])
        await rates.take(nowhere, bucket)
    rates.alone.until = 0.0


async def test_a_process_remembers_a_bounded_number_of_buckets() -> None:
    alone = rates._Alone()
    alone.count([a_bucket() for _ in range(rates._REMEMBERED + 50)])
    assert len(alone.empty_at) == rates._REMEMBERED


def test_a_key_names_nobody() -> None:
    assert "kim" not in rates.bucket("login", "kim@example.com", 1, 1.0).key


async def test_a_name_is_the_same_in_any_case_and_another_for_each_kind_of_thing() -> None:
    assert rates.bucket("login", "Kim@Example.com", 1, 1.0) == rates.bucket("login", "kim@example.com", 1, 1.0)
    assert rates.bucket("login", "kim", 1, 1.0).key != rates.bucket("confirm", "kim", 1, 1.0).key


async def test_what_rested_long_takes_its_burst_and_no_more(client: Any, later: Later) -> None:
    bucket = a_bucket(burst=2)
    await rates.take(client, bucket)
    with later(86_400):
        for _ in range(2):
            await rates.take(client, bucket)
        with pytest.raises(TooMany):
            await rates.take(client, bucket)


async def test_what_rested_long_takes_no_more_than_its_burst_of_a_process_alone_either(later: Later) -> None:
    bucket = a_bucket(burst=2)
    rates.alone.count([bucket])
    with later(86_400):
        for _ in range(2):
            assert rates.alone.wait([bucket]) == 0
            rates.alone.count([bucket])
        assert rates.alone.wait([bucket]) > 0


async def test_what_a_process_counted_alone_holds_when_redis_is_back(client: Any) -> None:
    bucket = a_bucket(burst=1)
    async with connect_async("redis://127.0.0.1:1") as nowhere:
        await rates.count(nowhere, [bucket])
    rates.alone.until = 0.0
    assert await rates.wait(client, [bucket]) > 0
    with pytest.raises(TooMany):
        await rates.take(client, bucket)
    await rates.forget(client, [bucket])
    assert await rates.wait(client, [bucket]) == 0


async def test_of_what_a_process_remembers_what_was_counted_longest_ago_goes_first() -> None:
    alone, first = rates._Alone(), a_bucket()
    alone.count([first])
    alone.count([a_bucket() for _ in range(rates._REMEMBERED - 1)])
    alone.count([first])
    alone.count([a_bucket()])
    assert first.key in alone.empty_at


async def test_a_bucket_leaves_redis_when_it_is_empty_again_at_the_latest(client: Any) -> None:
    bucket = a_bucket(burst=3, interval=60.0)
    await rates.take(client, bucket)
    assert 120 < await client.ttl(bucket.key) <= 180


async def test_while_redis_is_away_nothing_waits_for_it_to_forget() -> None:
    rates.alone.until = 0.0
    async with connect_async("redis://127.0.0.1:1") as nowhere:
        await rates.forget(nowhere, [a_bucket()])
    assert rates.alone.now
    rates.alone.until = 0.0


async def test_while_a_process_counts_alone_redis_is_not_asked(client: Any) -> None:
    bucket = a_bucket(burst=1)
    rates.alone.begin()
    await rates.take(client, bucket)
    assert not await client.exists(bucket.key)
    await client.set(bucket.key, 0)
    await rates.forget(client, [bucket])
    assert await client.exists(bucket.key)
    rates.alone.until = 0.0


async def test_a_person_s_quota_is_so_many_a_minute(client: Any) -> None:
    person = new_id()
    for _ in range(2):
        await rates.quota(client, "test", person, 2)
    with pytest.raises(TooMany) as refused:
        await rates.quota(client, "test", person, 2)
    assert 25 <= int(refused.value.headers["Retry-After"]) <= 30
