"""Ends sessions everywhere: their access tokens are valid by signature for up to 15 minutes more."""

from collections.abc import Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from functions.auth.messages import AnnounceRevocations
from shared import identity, tasks
from shared.db import Database
from shared.errors import Unavailable
from shared.ids import new_id
from shared.redis import within

if TYPE_CHECKING:
    from redis.asyncio import Redis


async def announce(db: Database, broker: "Redis", session_ids: Sequence[UUID]) -> None:
    """Tell all services, after the commit that ended the sessions; with Redis away, tell them once it is back."""
    if not session_ids:
        return
    try:
        async with within("broker"):
            await identity.announce_revocations(broker, session_ids)
    except Unavailable:
        async with db.transaction() as conn:
            await tasks.enqueue(conn, AnnounceRevocations(list(session_ids)), subject=new_id())
