"""A cache is kept a while, and one that is away is an empty one"""

from redis.asyncio import Redis

from shared.caching import Cache
from shared.ids import new_id
from shared.redis import connect_async


async def test_a_value_is_kept_for_as_long_as_was_said_and_is_no_one_else_s(cache_url: str, patient: None) -> None:
    cache, key = Cache(connect_async(cache_url)), new_id().hex
    assert await cache.get(key) is None
    await cache.put(key, b"value", seconds=600)
    assert await cache.get(key) == b"value"
    assert await cache.get(f"{key}-other") is None
    async with Redis.from_url(cache_url) as client:
        assert 0 < await client.ttl(key) <= 600
    await cache.close()


async def test_a_cache_that_is_away_is_an_empty_one() -> None:
    cache = Cache(connect_async("redis://127.0.0.1:1"))
    await cache.put("key", b"value", seconds=600)
    assert await cache.get("key") is None
    await cache.close()
