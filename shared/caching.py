"""The cache: what can be computed again. A cache that is away is an empty one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import redis.asyncio

_client: redis.asyncio.Redis | None = None


def use(client: redis.asyncio.Redis) -> None:
    """Make this the process's cache; the runtime calls it once."""
    global _client
    _client = client


async def get(key: str) -> bytes | None:
    """What is kept under the key, if anything is."""
    from redis.exceptions import RedisError

    if _client is None:
        return None
    try:
        value = await _client.get(key)
    except (RedisError, OSError):
        return None
    return value.encode() if isinstance(value, str) else value


async def put(key: str, value: bytes, *, seconds: int) -> None:
    """Keep a value for a while, or less long where memory is short."""
    from redis.exceptions import RedisError

    if _client is None:
        return
    try:
        await _client.set(key, value, ex=seconds)
    except (RedisError, OSError):
        return
