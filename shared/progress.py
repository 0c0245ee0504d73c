"""What a task is doing now, for the person who waits: a capped stream in the broker per subject, readable from any replica.

Workers publish (blocking); a service's host hands the events to those who listen (shared.events). Nothing that matters rests
on these streams: the truth is the owner's row.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import Meta, Struct

from shared.ids import new_id

if TYPE_CHECKING:
    import redis
    import redis.asyncio

    from shared.tasks import Task

log = logging.getLogger(__name__)

# Events kept per stream, about: tokens of a long answer fit.
LENGTH = 2000
# Seconds that a stream outlives its last event.
KEPT = 24 * 3600
# Seconds after the end: for clients that resume; the row says how it ended.
KEPT_AFTER = 600
# For so many seconds after a failure nothing is published: each try at a broker that hangs would cost the work its patience.
AWAY = 5.0


class Stage(Struct, frozen=True):
    """What is being done now.

    Attributes:
        stage: a word for it.
        progress: which part of the whole is done.
    """

    stage: Annotated[
        Literal["checking", "storing", "classifying"], Meta(title="StageName", description="A stage of the work.")
    ]
    progress: Annotated[float, Meta(ge=0, le=1, examples=[0.1])]


class Token(Struct, frozen=True):
    """The next piece of an answer.

    Attributes:
        text: to be put behind what came before.
        index: its place, from 0.
    """

    text: Annotated[str, Meta(examples=["우유팩은 "])]
    index: Annotated[int, Meta(ge=0, le=2**31 - 1)]


class Restart(Struct, frozen=True):
    """Discard the tokens so far: the answer is written anew."""


def stream(subject: UUID) -> str:
    """The stream's key in Redis."""
    return f"progress:{subject}"


class Publisher:
    """Writes events, for all tasks of a process. Its methods block."""

    def __init__(self, broker: redis.Redis) -> None:
        self._broker = broker
        self._failed = -AWAY

    def add(self, subject: UUID, run_id: UUID | None, name: str, *data: dict[str, Any]) -> None:
        """Write events of one name, one for each of `data`, in one exchange."""
        from redis.exceptions import RedisError

        if time.monotonic() - self._failed < AWAY:
            return
        key = stream(subject)
        pipe = self._broker.pipeline(transaction=False)
        for one in data:
            pipe.xadd(
                key,
                {"name": name, "run": str(run_id or ""), "data": msgspec.json.encode(one)},
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

    def close(self) -> None:
        self._broker.close()


class Progress:
    """What the task now running tells those who wait for it. Each run is given its own."""

    def __init__(self, publisher: Publisher, task: Task) -> None:
        self._publisher = publisher
        self._task = task

    def publish(self, stage: str, fraction: float) -> None:
        """Tell the listeners what the task does, and which part (0 to 1) of it is done."""
        self._add("progress", {"stage": stage, "progress": round(fraction, 3)})

    def publish_tokens(self, texts: Sequence[str], index: int) -> None:
        """Send the next pieces of an answer to its listeners, the first of them under this index."""
        self._add("token", *({"text": text, "index": number} for number, text in enumerate(texts, index)))

    def anew(self) -> Progress:
        """The progress of another attempt in the same run: listeners discard the tokens that this one sent."""
        return Progress(self._publisher, msgspec.structs.replace(self._task, run_id=new_id()))

    async def ended(self) -> None:
        """Tell the listeners that the owner's row has its terminal state. Called after the commit; may get lost."""
        await asyncio.to_thread(self._publisher.add, self._task.subject, None, "ended", {})

    def _add(self, name: str, *data: dict[str, Any]) -> None:
        self._publisher.add(self._task.subject, self._task.run_id, name, *data)


async def forget(broker: redis.asyncio.Redis, *subjects: UUID) -> None:
    """Delete what was said about subjects that are being deleted.

    Raises:
        Unavailable: the broker is away; the streams end by themselves a day after their last event.
    """
    from shared.redis import within

    if subjects:
        async with within("broker"):
            await broker.unlink(*(stream(subject) for subject in subjects))
