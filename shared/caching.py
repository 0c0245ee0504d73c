"""The cache: what can be computed again. A cache that is away is an empty one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import redis.asyncio


class Cache:
    """The cache's Redis, for values that a service keeps a while."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self.client = client

    async def get(self, key: str) -> bytes | None:
        """What is kept under the key, if anything is."""
        from redis.exceptions import RedisError

        try:
            value = await self.client.get(key)
        except (RedisError, OSError):
            return None
        return value.encode() if isinstance(value, str) else value

    async def put(self, key: str, value: bytes, *, seconds: int) -> None:
        """Keep a value for a while, or less long where memory is short."""
        from redis.exceptions import RedisError

        try:
            await self.client.set(key, value, ex=seconds)
        except (RedisError, OSError):
            return

    async def close(self) -> None:
        await self.client.aclose()
