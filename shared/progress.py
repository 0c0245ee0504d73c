"""What a task is doing now, for the person who waits: a capped stream in the broker per subject, readable from any replica.

Workers publish (blocking); a service's host hands the events to those who listen (shared.events). Nothing that matters rests
on these streams: the truth is the owner's row.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec

if TYPE_CHECKING:
    import redis
    import redis.asyncio

log = logging.getLogger(__name__)

# Events kept per stream, about: tokens of a long answer fit.
LENGTH = 2000
# Seconds that a stream outlives its last event.
KEPT = 24 * 3600
# Seconds after the end: for clients that resume; the row says how it ended.
KEPT_AFTER = 600
# For so many seconds after a failure nothing is published: each try at a broker that hangs would cost the work its patience.
AWAY = 5.0


def stream(subject: UUID) -> str:
    """The stream's key in Redis."""
    return f"progress:{subject}"


class Publisher:
    """Writes events; used by worker threads through `publish` and `publish_token`."""

    def __init__(self, broker: redis.Redis) -> None:
        self._broker = broker
        self._failed = -AWAY

    def add(self, subject: UUID, run_id: UUID | None, name: str, data: dict[str, Any]) -> None:
        from redis.exceptions import RedisError

        if time.monotonic() - self._failed < AWAY:
            return
        key = stream(subject)
        pipe = self._broker.pipeline(transaction=False)
        pipe.xadd(
            key,
            {"name": name, "run": str(run_id or ""), "data": msgspec.json.encode(data)},
            maxlen=LENGTH,
            approximate=True,
        )
        pipe.expire(key, KEPT_AFTER if name == "ended" else KEPT)
        try:
            pipe.execute()
        except (RedisError, OSError) as error:
            # Progress is a courtesy: the work goes on without it.
            self._failed = time.monotonic()
            log.debug("progress of %s not published: %s", subject, error)


_publisher: Publisher | None = None


def use(publisher: Publisher) -> None:
    """Make this the process's publisher; the worker calls it once."""
    global _publisher
    _publisher = publisher


def publish(stage: str, fraction: float) -> None:
    """Tell the listeners of the task now running what it does, and which part (0 to 1) of the way is gone."""
    _add("progress", {"stage": stage, "progress": round(fraction, 3)})


def publish_token(text: str, index: int) -> None:
    """Send the next piece of an answer to its listeners."""
    _add("token", {"text": text, "index": index})


def _add(name: str, data: dict[str, Any]) -> None:
    from shared import tasks

    if _publisher is not None:
        task = tasks.current()
        _publisher.add(task.subject, task.run_id, name, data)


async def ended(subject: UUID) -> None:
    """Tell the listeners that the owner's row has its terminal state. Called after the commit; may get lost."""
    if _publisher is not None:
        await asyncio.to_thread(_publisher.add, subject, None, "ended", {})


async def forget(broker: redis.asyncio.Redis, *subjects: UUID) -> None:
    """Delete what was said about subjects that are being deleted.

    Raises:
        Unavailable: the broker is away; the streams end by themselves a day after their last event.
    """
    from shared.redis import within

    if subjects:
        async with within("broker"):
            await broker.unlink(*(stream(subject) for subject in subjects))
