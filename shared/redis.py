"""Connections to the two Redis servers, and the one translation of their failures."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

from shared.errors import Unavailable

if TYPE_CHECKING:
    import redis
    import redis.asyncio

log = logging.getLogger(__name__)

# Seconds to wait for a connection or an answer before the server counts as away.
PATIENCE = 1.5


def connect_async(url: str) -> redis.asyncio.Redis:
    """A client with a pool of its own; connects at the first command. Imports redis only now: a start does not need it."""
    from shared.lean_redis import redis

    client = redis.asyncio.Redis.from_url(
        url,
        socket_connect_timeout=PATIENCE,
        socket_timeout=PATIENCE,
        decode_responses=True,
        driver_info=None,  # or each connection reads redis' METADATA to tell the server its version
        retry=redis.asyncio.retry.Retry(redis.backoff.NoBackoff(), 1),
    )
    client.connection_pool.connection_class = _noticing_resets(client.connection_pool.connection_class)
    return client


def _noticing_resets(base: Any) -> Any:
    """A connection class for uvloop, which answers a write to a connection that was reset with RuntimeError.

    asyncio says ConnectionResetError there; redis-py (8.1) knows no other, and does not see the reset before it writes.
    """

    class Connection(base):  # type: ignore[misc]  # the base is a value, the pool's own class
        async def send_packed_command(self, *arguments: Any, **options: Any) -> None:
            from redis.exceptions import ConnectionError as RedisConnectionError

            try:
                await super().send_packed_command(*arguments, **options)
            except RuntimeError as error:
                raise RedisConnectionError(str(error)) from error

    return Connection


def connect(url: str) -> redis.Redis:
    """The same for threads."""
    from shared.lean_redis import redis

    return redis.Redis.from_url(
        url,
        socket_connect_timeout=PATIENCE,
        socket_timeout=PATIENCE,
        decode_responses=True,
        driver_info=None,  # or each connection reads redis' METADATA to tell the server its version
        retry=redis.retry.Retry(redis.backoff.NoBackoff(), 1),
    )


@contextmanager
def guard(part: str) -> Iterator[None]:
    """Turn a Redis failure inside the block into `Unavailable(part)`; `part` is "broker" or "cache"."""
    from redis.exceptions import NoPermissionError, RedisError

    try:
        yield
    except (RedisError, OSError) as error:
        if isinstance(error, NoPermissionError):
            # Else it would look like a server that is away, for ever.
            log.error("the %s refuses this service's user what runtime/redis_users.py does not name: %s", part, error)
        raise Unavailable(part) from error


@asynccontextmanager
async def within(part: str, seconds: float = 0.7) -> AsyncIterator[None]:
    """`guard` for a request, which waits only so long for a server that hangs, however many attempts the client makes."""
    with guard(part):
        async with asyncio.timeout(seconds):  # TimeoutError is an OSError
            yield
