"""How often passwords may be guessed: per account and per address, counted in the broker's Redis for all replicas.

Only failures count. Each bucket is one number (the generic cell rate algorithm): a burst, then one try per interval.
With Redis away each process goes on counting for itself, with the same limits. Nobody is locked out because Redis is
down, and a guesser gains a factor of the number of replicas at most; letting all tries pass, or none, would be worse.
"""

import hashlib
import ipaddress
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any
from uuid import UUID

from litestar import Request
from litestar.di import NamedDependency
from litestar.params import SkipValidation
from msgspec import Struct

from functions.auth import passwords
from shared import clock, parts
from shared.errors import Forbidden, TooMany, Unauthorized, Unavailable
from shared.parts import Made
from shared.redis import within
from shared.settings import Settings


class TooManyAttempts(TooMany):
    """Too many wrong passwords: wait before the next try."""

    type = "urn:eco2:auth:too-many-attempts"


class Bucket(Struct, frozen=True):
    """`burst` failures at once, then one per `interval` seconds."""

    key: str
    burst: int
    interval: float


# 10 wrong passwords at once and 40 an hour for an account; from one address (a school, an office) 100 and 400.
ACCOUNT = (10, 90.0)
ADDRESS = (100, 9.0)
# After a failure of Redis this process counts alone for a while, so that not each login waits for a time-out.
ALONE_SECONDS = 5.0
_REMEMBERED = 10_000

# Each key holds the moment at which its bucket is empty again. Returns the seconds to wait, as text; 0 if none.
_LOOK = """
local now, wait = tonumber(ARGV[1]), 0
for i, key in ipairs(KEYS) do
  local burst, interval = tonumber(ARGV[2 * i]), tonumber(ARGV[2 * i + 1])
  local full = tonumber(redis.call('GET', key) or '0')
  wait = math.max(wait, full + interval - burst * interval - now)
end
return string.format('%.3f', wait)
"""
_COUNT = """
local now = tonumber(ARGV[1])
for i, key in ipairs(KEYS) do
  local burst, interval = tonumber(ARGV[2 * i]), tonumber(ARGV[2 * i + 1])
  local full = math.max(tonumber(redis.call('GET', key) or '0'), now) + interval
  redis.call('SET', key, string.format('%.3f', full), 'EX', math.ceil(burst * interval))
end
return 'ok'
"""


def address_of(request: Request[Any, Any, Any], settings: Settings) -> str:
    """The client's address; of IPv6 the /64, which is what one client gets.

    Behind TRUSTED_HOPS proxies that append to X-Forwarded-For (1: the ALB or the gateway) it is that many entries from
    the right: what stands further left was written by the client, and may say anything.
    """
    forwarded = [part.strip() for part in ",".join(request.headers.getall("x-forwarded-for", [])).split(",")]
    peer = request.client.host if request.client else ""
    hops = settings.trusted_hops
    text = forwarded[-hops] if 0 < hops <= len(forwarded) and forwarded[-hops] else peer
    try:
        address = ipaddress.ip_address(text.split("%")[0])
    except ValueError:
        return peer
    if isinstance(address, ipaddress.IPv6Address):
        return str(address.ipv4_mapped or ipaddress.ip_network((address, 64), strict=False))
    return str(address)


class Limiter:
    """One for all requests of a process, which counts here what it can't count for all."""

    def __init__(self, broker: parts.Broker) -> None:
        self._broker = broker
        self._alone_until = 0.0
        self._own: dict[str, float] = {}

    @asynccontextmanager
    async def attempt(self, *, account: UUID | str, address: str) -> AsyncIterator[None]:
        """Wait for a place to check a password in, and count the block as a failed try when it raises 401 or 403.

        Args:
            account: the user's id, or the login somebody tried where there is no such user: both are limited alike.
            address: the client's, as `address_of` says.

        Raises:
            TooManyAttempts: when the account or the address has had its share of failures.
            passwords.Busy: as `passwords.slot`.
        """
        buckets = [Bucket(_key("account", str(account)), *ACCOUNT), Bucket(_key("address", address), *ADDRESS)]
        # The look comes after the wait: a thousand guesses sent at once would else all pass before the first has failed.
        async with passwords.slot(address):
            wait = await self._wait(buckets)
            if wait > 0:
                raise TooManyAttempts(retry_after=wait)
            try:
                yield
            except (Unauthorized, Forbidden):
                await self._count(buckets)
                raise
        await self.forget(account)

    async def forget(self, *accounts: UUID | str) -> None:
        """Forget an account's failures: after a right password, and with the person."""
        keys = [_key("account", str(account)) for account in accounts]
        for key in keys:
            self._own.pop(key, None)
        if time.monotonic() < self._alone_until:
            return
        try:
            async with within("broker"):
                await self._broker.delete(*keys)
        except Unavailable:
            self._go_alone()

    async def _wait(self, buckets: Sequence[Bucket]) -> float:
        now = clock.time()
        alone = [self._own.get(b.key, 0.0) + b.interval - b.burst * b.interval - now for b in buckets]
        shared = await self._evaluate(_LOOK, buckets)
        return max(0.0, *alone, float(shared or 0.0))

    async def _count(self, buckets: Sequence[Bucket]) -> None:
        if await self._evaluate(_COUNT, buckets) is not None:
            return
        now = clock.time()
        for bucket in buckets:
            self._own[bucket.key] = max(self._own.pop(bucket.key, 0.0), now) + bucket.interval
        while len(self._own) > _REMEMBERED:
            del self._own[next(iter(self._own))]

    async def _evaluate(self, script: str, buckets: Sequence[Bucket]) -> str | None:
        """Run a script on the buckets; None while Redis is away."""
        if time.monotonic() < self._alone_until:
            return None
        keys = [bucket.key for bucket in buckets]
        numbers = [str(number) for bucket in buckets for number in (bucket.burst, bucket.interval)]
        try:
            async with within("broker"):
                return str(await self._broker.eval(script, len(keys), *keys, str(clock.time()), *numbers))
        except Unavailable:
            self._go_alone()
            return None

    def _go_alone(self) -> None:
        self._alone_until = time.monotonic() + ALONE_SECONDS


# What a handler names: `limiter: GuessLimiter`.
GuessLimiter = NamedDependency[SkipValidation[Annotated[Limiter, Made(Limiter)]]]


def _key(kind: str, value: str) -> str:
    # A hash: the broker's files should name nobody.
    return f"auth:failures:{kind}:{hashlib.sha256(value.lower().encode()).hexdigest()[:32]}"
