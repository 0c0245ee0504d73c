"""A service has erased a person: its message, which names the person, is deleted."""

from typing import Any

import dramatiq
import msgspec

from shared import tasks
from shared.db import database
from shared.messages import Outcome


@dramatiq.actor(queue_name="auth", time_limit=10_000)
async def erasure_confirmed(*, outcome: dict[str, Any]) -> None:
    result = msgspec.convert(outcome, Outcome)
    if result.status == "failure":
        # Not an answer we take: the row stays, and the relay sends it again.
        return
    async with database().transaction() as conn:
        await tasks.settle(conn, result)
