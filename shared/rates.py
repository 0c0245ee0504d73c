"""How often something may be done: buckets counted in the broker's Redis, for all replicas together.

A bucket is one number (the generic cell rate algorithm): a burst, then one more per interval. With Redis away each process
goes on counting for itself, with the same limits. No one is locked out because Redis is down, and who presses gains a factor
of the number of replicas at most; letting all through, or none, would be worse.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from uuid import UUID

from msgspec import Struct

from shared import clock
from shared.errors import TooMany, Unavailable
from shared.redis import within

if TYPE_CHECKING:
    from redis.asyncio import Redis

_SCRIPT = Path(__file__).with_name("rates.lua").read_text(encoding="utf-8")
# After a failure of Redis this process counts alone for so many seconds, so that not each request waits for a time-out.
ALONE_SECONDS = 5.0
# Buckets that a process remembers by itself; the oldest are forgotten first.
_REMEMBERED = 10_000


class Bucket(Struct, frozen=True):
    """`burst` at once, then one per `interval` seconds."""

    key: str
    burst: int
    interval: float


class _Alone:
    """What a process counts by itself: since when, and each bucket's moment of being empty again."""

    def __init__(self) -> None:
        self.until = 0.0
        self.empty_at: dict[str, float] = {}

    @property
    def now(self) -> bool:
        return time.monotonic() < self.until

    def begin(self) -> None:
        self.until = time.monotonic() + ALONE_SECONDS

    def wait(self, buckets: Sequence[Bucket]) -> float:
        due = (self.empty_at.get(b.key, 0.0) + b.interval - b.burst * b.interval - clock.time() for b in buckets)
        return max(0.0, *due) if buckets else 0.0

    def count(self, buckets: Sequence[Bucket]) -> None:
        now = clock.time()
        for bucket in buckets:
            self.empty_at[bucket.key] = max(self.empty_at.pop(bucket.key, 0.0), now) + bucket.interval
        while len(self.empty_at) > _REMEMBERED:
            del self.empty_at[next(iter(self.empty_at))]


alone = _Alone()


def bucket(kind: str, who: UUID | str, burst: int, interval: float) -> Bucket:
    """A person's, address's or name's bucket. The key is a hash: the broker's files should name no one."""
    return Bucket(f"rates:{kind}:{hashlib.sha256(str(who).lower().encode()).hexdigest()[:32]}", burst, interval)


async def wait(broker: Redis, buckets: Sequence[Bucket]) -> float:
    """The seconds until one more fits into all of them; 0 when it does now. Counts nothing."""
    return max(alone.wait(buckets), await _evaluate(broker, "look", buckets) or 0.0)


async def count(broker: Redis, buckets: Sequence[Bucket]) -> None:
    """Count one more in each."""
    if await _evaluate(broker, "count", buckets) is None:
        alone.count(buckets)


async def take(broker: Redis, *buckets: Bucket, problem: type[TooMany] = TooMany) -> None:
    """Count one more in each, where it fits into all.

    Raises:
        TooMany: it does not; `problem` is what is raised, with the seconds to wait in Retry-After.
    """
    waits = alone.wait(buckets)
    if waits <= 0:
        found = await _evaluate(broker, "take", buckets)
        if found is None:
            alone.count(buckets)
        waits = found or 0.0
    if waits > 0:
        raise problem(retry_after=waits)


async def quota(broker: Redis, kind: str, user_id: UUID, a_minute: int) -> None:
    """Count one of a person's that they may do so often in a minute.

    Raises:
        TooMany: they have used up this minute's.
    """
    await take(broker, bucket(kind, user_id, a_minute, 60.0 / a_minute))


async def forget(broker: Redis, buckets: Sequence[Bucket]) -> None:
    """Empty them."""
    for one in buckets:
        alone.empty_at.pop(one.key, None)
    if alone.now:
        return
    try:
        async with within("broker"):
            await broker.delete(*(one.key for one in buckets))
    except Unavailable:
        alone.begin()


async def _evaluate(broker: Redis, mode: Literal["look", "count", "take"], buckets: Sequence[Bucket]) -> float | None:
    """Run the script on the buckets; None while Redis is away."""
    if alone.now:
        return None
    numbers = [str(number) for one in buckets for number in (one.burst, one.interval)]
    try:
        async with within("broker"):
            keys = (one.key for one in buckets)
            answer = await broker.eval(_SCRIPT, len(buckets), *keys, mode, str(clock.time()), *numbers)
    except Unavailable:
        alone.begin()
        return None
    return float(str(answer))
