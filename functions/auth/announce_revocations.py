"""Announces the end of sessions that ended while the broker's Redis was away."""

from uuid import UUID

import dramatiq

from shared import identity
from shared.redis import broker, guard


@dramatiq.actor(queue_name="auth", time_limit=10_000)
async def announce_revocations(*, session_ids: list[UUID]) -> None:
    with guard("broker"):
        await identity.announce_revocations(broker(), session_ids)
