"""Sessions that end while the broker's Redis is away are announced once it is back"""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from functions.auth import revocations
from functions.auth.announce_revocations import announce_revocations
from functions.auth.messages import AnnounceRevocations
from shared import identity
from shared.db import Database
from shared.errors import Unavailable
from shared.ids import new_id
from shared.redis import connect_async


async def waiting(database: Database) -> list[dict[str, Any]]:
    async with database.connection() as conn:
        cur = await conn.execute("SELECT message FROM outbox WHERE actor = 'auth/announce_revocations'")
        return [row[0] for row in await cur.fetchall()]


async def test_an_announcement_that_redis_did_not_hear_waits_in_the_outbox(
    db: Callable[[str], Awaitable[Database]], broker_url: str
) -> None:
    database, session = await db("auth"), new_id()
    async with connect_async("redis://127.0.0.1:1") as nowhere:
        await revocations.announce(database, nowhere, [session])
    messages = [message for message in await waiting(database) if message["session_ids"] == [str(session)]]
    assert len(messages) == 1
    async with Redis.from_url(broker_url, decode_responses=True) as redis:
        assert await redis.zscore(identity.REVOKED_KEY, str(session)) is None
        await announce_revocations(msgspec.convert(messages[0], AnnounceRevocations), redis)
        assert await redis.zscore(identity.REVOKED_KEY, str(session)) is not None


async def test_an_announcement_that_fails_again_is_tried_once_more_later() -> None:
    async with connect_async("redis://127.0.0.1:1") as nowhere:
        with pytest.raises(Unavailable):
            await announce_revocations(AnnounceRevocations([new_id()]), nowhere)


async def test_an_announcement_that_was_heard_leaves_nothing_behind(
    db: Callable[[str], Awaitable[Database]], broker_url: str
) -> None:
    database, session = await db("auth"), new_id()
    async with Redis.from_url(broker_url, decode_responses=True) as redis:
        await revocations.announce(database, redis, [session])
        assert await redis.zscore(identity.REVOKED_KEY, str(session)) is not None
    assert not [message for message in await waiting(database) if message["session_ids"] == [str(session)]]
