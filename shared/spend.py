"""What answering costs, counted in the broker's Redis per person and Korean day, and for the whole system.

The ai worker reserves before it asks a paid provider and settles afterwards; the services that accept work look only
whether somebody has used up the day. People appear under a name that is made from their id and can't be turned back.
"""

from __future__ import annotations

import asyncio
import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from msgspec import Struct

from shared import clock
from shared.errors import TooMany
from shared.redis import guard

if TYPE_CHECKING:
    import redis
    import redis.asyncio

# Korea has no summer time; its day is the people's day.
_KOREA = timedelta(hours=9)
# Counters outlive their day by one: they are looked at afterwards too.
_KEPT = 2 * 86_400
# Seconds that a look at the counters may take.
_PATIENCE = 0.5
SYSTEM = "system"


class DayUsedUp(TooMany):
    """You have used up today's answers: they are back at midnight, Korean time."""

    type = "urn:eco2:ai:day-used-up"


class Limits(Struct, frozen=True):
    """Most tokens and most money (millionths of a dollar) of one day."""

    tokens: int
    micros: int


def spender(user_id: UUID) -> str:
    """The name under which a person's spending is counted: what the worker gets instead of the user's id."""
    return hashlib.blake2b(user_id.bytes, digest_size=12, person=b"eco2.spend").hexdigest()


def _day() -> str:
    return (clock.now() + _KOREA).strftime("%Y%m%d")


def _until_midnight() -> float:
    now = clock.now() + _KOREA
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    return (midnight - now).total_seconds()


def _key(who: str) -> str:
    return f"spend:{_day()}:{who}"


async def check(broker: redis.asyncio.Redis, user_id: UUID) -> None:
    """Before paid work is accepted for a person.

    A broker that is away stops no one: the worker counts for itself, and answers without a paid provider when it can't.

    Raises:
        DayUsedUp: with the seconds until it makes sense to come again.
    """
    from redis.exceptions import RedisError

    try:
        # TimeoutError is an OSError: a broker that hangs is one that is away, and the person waits for this.
        async with asyncio.timeout(_PATIENCE):
            full = await broker.hget(_key(spender(user_id)), "full")
    except (RedisError, OSError):
        return
    if full:
        raise DayUsedUp(retry_after=_until_midnight())


# One step, so that two threads (or replicas) can't both take what is left. KEYS: the counters; ARGV: seconds to keep them,
# tokens, micros, then tokens and micros allowed per counter. Answers the number of the counter that has not enough, or 0.
_RESERVE = """
for i, key in ipairs(KEYS) do
  local tokens = tonumber(redis.call('HGET', key, 'tokens') or '0') + tonumber(ARGV[2])
  local micros = tonumber(redis.call('HGET', key, 'micros') or '0') + tonumber(ARGV[3])
  if tokens > tonumber(ARGV[2 + 2 * i]) or micros > tonumber(ARGV[3 + 2 * i]) then
    redis.call('HSET', key, 'full', '1')
    redis.call('EXPIRE', key, ARGV[1])
    return i
  end
end
for _, key in ipairs(KEYS) do
  redis.call('HINCRBY', key, 'tokens', ARGV[2])
  redis.call('HINCRBY', key, 'micros', ARGV[3])
  redis.call('EXPIRE', key, ARGV[1])
end
return 0
"""


class Reserved(Struct, frozen=True):
    """What was set aside, in which counters."""

    keys: tuple[str, ...]
    tokens: int
    micros: int


class Purse:
    """The worker's side. All methods raise Unavailable while the broker is away."""

    def __init__(self, broker: redis.Redis, person: Limits, system: Limits) -> None:
        self._broker = broker
        self._limits = (system, person)

    def reserve(self, who: str, tokens: int, micros: int) -> Reserved | None:
        """Set aside what a request may cost at most; None when the day's budget, the person's or the system's, lacks it.

        With an empty `who` the system's budget alone counts.
        """
        counted = [(SYSTEM, self._limits[0])] + ([(who, self._limits[1])] if who else [])
        keys = tuple(_key(name) for name, _ in counted)
        allowed = [number for _, limits in counted for number in (limits.tokens, limits.micros)]
        with guard("broker"):
            lacking = self._broker.eval(_RESERVE, len(keys), *keys, _KEPT, tokens, micros, *allowed)
        return None if lacking else Reserved(keys, tokens, micros)

    def settle(self, reserved: Reserved, tokens: int, micros: int) -> None:
        """Replace what was set aside by what was spent; 0 gives it back."""
        with guard("broker"):
            pipe = self._broker.pipeline(transaction=True)
            for key in reserved.keys:
                pipe.hincrby(key, "tokens", tokens - reserved.tokens)
                pipe.hincrby(key, "micros", micros - reserved.micros)
            pipe.execute()
