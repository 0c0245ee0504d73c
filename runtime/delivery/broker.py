"""The broker: Dramatiq's Redis broker with its gaps closed. It carries messages and wakes workers; it guarantees nothing.

Keys and messages are Dramatiq's own (a list of ids, a hash of messages, a set of fetched ids for each consumer). What
differs, and why:

- a fetch waits on a list that every publication pushes to (`….wake`), where the stock consumer polls with a growing pause;
- one script sends the results, acks and gives the leases back, so a batch costs one round trip;
- no delay queues and no retries: both strand in a live worker's set of fetched messages after an outage. The relay has them;
- consumers that died are found by Redis's clock and on every beat, not with a chance of 0.1 % and by the clock of a client
  (which, 61 s ahead, made healthy tasks run twice);
- a worker with a journal has the same id in its next life, and takes back at once what its last life had fetched.
"""

import contextlib
import os
from collections.abc import Container, Iterable, Iterator, Sequence
from typing import Any

import dramatiq
import msgspec
import redis
from dramatiq.brokers.redis import RedisBroker
from dramatiq.errors import DecodeError
from redis.backoff import NoBackoff
from redis.retry import Retry

NAMESPACE = "dramatiq"
# Seconds without a beat after which another consumer takes a consumer's messages back.
DEAD_AFTER = 15
# Seconds a lease on a task id lasts; the worker renews it every third of that.
LEASE = 30
# An idle consumer looks for itself that often, in seconds: for messages of a producer that pushes no wake-up.
LOOK = 2.0
_PATIENCE = 3.0

_PUBLISH = """
local woken = {}
for i = 1, #ARGV, 3 do
  local queue = KEYS[1] .. ':' .. ARGV[i]
  redis.call('hset', queue .. '.msgs', ARGV[i + 1], ARGV[i + 2])
  redis.call('rpush', queue, ARGV[i + 1])
  woken[queue .. '.wake'] = (woken[queue .. '.wake'] or 0) + 1
end
for key, count in pairs(woken) do
  -- More tokens than consumers that could be asleep help nobody.
  for _ = 1, math.min(count, 64 - redis.call('llen', key)) do redis.call('rpush', key, '1') end
end
"""

# The pop stands first: after the first write a script is not refused at maxmemory, and a consumer that takes and acks is
# what frees memory.
_FETCH = """
redis.replicate_commands()
local queue, consumer, count, holder, lease = KEYS[1] .. ':' .. ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local acks = KEYS[1] .. ':__acks__.' .. consumer .. '.' .. ARGV[1]
local found = {}
for _, id in ipairs(redis.call('lpop', queue, count) or {}) do
  local data = redis.call('hget', queue .. '.msgs', id)
  local free = true
  if data and holder ~= '' then
    local key = KEYS[1] .. ':lease:' .. (string.match(id, '^([^/]+)/') or id)
    local held = redis.call('get', key)
    -- An earlier life of the same worker is dead for certain: it held the lock on the journal. A copy of what this life
    -- works on is the process's own to drop.
    free = not held or string.sub(held, 1, #consumer + 1) == consumer .. ':'
    if free then redis.call('set', key, holder, 'PX', lease) end
  end
  if data and free then
    redis.call('sadd', acks, id)
    found[#found + 1] = id
    found[#found + 1] = data
  else
    redis.call('hdel', queue .. '.msgs', id)
  end
end
redis.pcall('zadd', KEYS[1] .. ':__heartbeats__', redis.call('time')[1] * 1000, consumer)
return found
"""

# The sends stand first: at maxmemory the first of them is refused before anything was changed.
_FINISH = """
local queue, consumer, sends, acks = KEYS[1] .. ':' .. ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local at, woken = 5, {}
for _ = 1, sends do
  local to = KEYS[1] .. ':' .. ARGV[at]
  redis.call('hset', to .. '.msgs', ARGV[at + 1], ARGV[at + 2])
  redis.call('rpush', to, ARGV[at + 1])
  woken[to .. '.wake'] = (woken[to .. '.wake'] or 0) + 1
  at = at + 3
end
for key, count in pairs(woken) do
  for _ = 1, math.min(count, 64 - redis.call('llen', key)) do redis.call('rpush', key, '1') end
end
for _ = 1, acks do
  local id, holder = ARGV[at], ARGV[at + 1]
  if redis.call('srem', KEYS[1] .. ':__acks__.' .. consumer .. '.' .. ARGV[1], id) > 0 then
    redis.call('hdel', queue .. '.msgs', id)
  end
  if holder ~= '' then
    local key = KEYS[1] .. ':lease:' .. (string.match(id, '^([^/]+)/') or id)
    if redis.call('get', key) == holder then redis.call('del', key) end
  end
  at = at + 2
end
"""

_REQUEUE = """
local queue = KEYS[1] .. ':' .. ARGV[1]
local acks = KEYS[1] .. ':__acks__.' .. ARGV[2] .. '.' .. ARGV[1]
local these = ARGV[3] == 'these'
local known, working, count = {}, {}, 0
local function task(id) return string.match(id, '^([^/]+)/') or id end
for i = 4, #ARGV do
  known[ARGV[i]] = true
  working[task(ARGV[i])] = not these
end
for _, id in ipairs(redis.call('smembers', acks)) do
  if (known[id] or false) == these then
    redis.call('srem', acks, id)
    -- With its lease, or whoever fetches it next would take it for a second copy and drop it.
    local key = KEYS[1] .. ':lease:' .. task(id)
    local held = not working[task(id)] and redis.call('get', key)
    if held and string.sub(held, 1, #ARGV[2] + 1) == ARGV[2] .. ':' then redis.call('del', key) end
    if redis.call('hexists', queue .. '.msgs', id) > 0 then
      redis.call('rpush', queue, id)
      redis.call('rpush', queue .. '.wake', '1')
      count = count + 1
    end
  end
end
redis.call('ltrim', queue .. '.wake', 0, 63)
return count
"""

# Each relay asks at every turn: the whole INFO would be two hundred lines to read each time. At maxmemory there is
# no mark.
_LIFE = """
redis.replicate_commands()
redis.pcall('set', KEYS[1], ARGV[1], 'NX')
return {
  string.match(redis.call('info', 'server'), 'run_id:(%x+)') or '',
  string.match(redis.call('info', 'memory'), 'maxmemory_policy:([%w-]+)') or 'noeviction',
  redis.call('get', KEYS[1]),
}
"""

_BEAT = """
redis.replicate_commands()
local now = redis.call('time')[1] * 1000
local beats = KEYS[1] .. ':__heartbeats__'
redis.pcall('zadd', beats, now, ARGV[2])
local queue, moved = KEYS[1] .. ':' .. ARGV[1], 0
for _, dead in ipairs(redis.call('zrangebyscore', beats, 0, now - ARGV[3])) do
  local acks = KEYS[1] .. ':__acks__.' .. dead .. '.' .. ARGV[1]
  for _, id in ipairs(redis.call('smembers', acks)) do
    -- The lease too: the message would be dropped as a second copy of what the dead one works on.
    local key = KEYS[1] .. ':lease:' .. (string.match(id, '^([^/]+)/') or id)
    local held = redis.call('get', key)
    if held and string.sub(held, 1, #dead + 1) == dead .. ':' then redis.call('del', key) end
    if redis.call('hexists', queue .. '.msgs', id) > 0 then
      redis.call('rpush', queue, id)
      redis.call('rpush', queue .. '.wake', '1')
      moved = moved + 1
    end
  end
  redis.call('del', acks)
  -- A consumer of several queues stays listed until each queue's own consumers have looked.
  if now - redis.call('zscore', beats, dead) > 20 * ARGV[3] then redis.call('zrem', beats, dead) end
end
for i = 5, #ARGV do
  local key = KEYS[1] .. ':lease:' .. ARGV[i]
  local held = redis.call('get', key)
  if held == ARGV[4] then redis.call('pexpire', key, 30000)
  elseif not held then redis.pcall('set', key, ARGV[4], 'PX', 30000) end
end
return moved
"""


class BrokerUnfit(Exception):
    """This Redis can't be the broker; the message says why and what to set."""


class BrokerFull(Exception):
    """The broker is at maxmemory and takes no new messages."""


class Delivery(msgspec.Struct, frozen=True):
    """A fetched message. `id` is Redis's, of this one copy; the task's id is `message.message_id`."""

    id: str
    queue: str
    message: dramatiq.Message[Any]


class _Sound(msgspec.Struct, frozen=True):
    """What everything after the fetch relies on; Dramatiq takes any JSON for a message whose keys are right."""

    message_id: str
    actor_name: str
    queue_name: str
    kwargs: dict[str, Any]
    options: dict[str, Any]


class Broker(RedisBroker):
    """One service's connection to the broker.

    Args:
        url: of the Redis server.
        consumer: who fetches; with the same id in the next life of a process, that life takes its messages back.
    """

    def __init__(self, url: str, *, consumer: str | None = None) -> None:
        client = redis.Redis.from_url(
            url,
            socket_connect_timeout=_PATIENCE,
            socket_timeout=_PATIENCE,
            retry=Retry(NoBackoff(), 1),
        )
        super().__init__(client=client, middleware=[], namespace=NAMESPACE)  # type: ignore[no-untyped-call]
        self.actor_options |= {"time_limit"}
        self.broker_id = consumer or os.urandom(8).hex()
        # This life of the process, as the holder of leases.
        self.holder = f"{self.broker_id}:{os.urandom(4).hex()}"
        self._stop_key = f"{self.namespace}:stop:{self.holder}"
        self._waiting = redis.Redis.from_url(
            url, socket_connect_timeout=_PATIENCE, socket_timeout=LOOK + _PATIENCE, retry=Retry(NoBackoff(), 0)
        )
        register = client.register_script
        self._publish, self._fetch = register(_PUBLISH), register(_FETCH)
        self._finish, self._requeue = register(_FINISH), register(_REQUEUE)
        self._beat, self._life = register(_BEAT), register(_LIFE)

    def declare_queue(self, queue_name: str) -> None:
        """Declare a queue, and no delay queue beside it."""
        if queue_name not in self.queues:
            self.emit_before("declare_queue", queue_name)
            self.queues.add(queue_name)
            self.emit_after("declare_queue", queue_name)

    def enqueue(self, message: dramatiq.Message[Any], *, delay: int | None = None) -> dramatiq.Message[Any]:
        """Publish one message now; a delay belongs into the outbox."""
        if delay is not None:
            raise ValueError("the broker has no delays: shared.tasks.enqueue(..., delay=seconds) has")
        self.publish([message])
        return message

    def publish(self, messages: Sequence[dramatiq.Message[Any]]) -> None:
        """Put messages into their queues and wake who waits there.

        Raises:
            BrokerFull: at maxmemory; nothing was put.
            redis.RedisError: away.
        """
        if messages:
            with _full():
                self._publish(keys=[self.namespace], args=list(_packed(messages)))

    def fetch(self, queue: str, count: int, *, lease: bool = False) -> list[Delivery]:
        """Take up to `count` messages; with `lease`, those whose task nobody works on now (a second copy is dropped)."""
        found = self._fetch(
            keys=[self.namespace], args=[queue, self.broker_id, count, self.holder if lease else "", LEASE * 1000]
        )
        deliveries = []
        for id_, data in zip(found[::2], found[1::2], strict=True):
            try:
                message = dramatiq.Message.decode(data)
                msgspec.convert(message.asdict(), _Sound)
                deliveries.append(Delivery(id_.decode(), queue, message))
            except (DecodeError, ValueError, msgspec.ValidationError):
                # Whatever it is, it must not stand in the way of those behind it.
                self.logger.error("dropped a message on %s that is none: id %s", queue, id_)
                self.finish(queue, [id_])
        return deliveries

    def wait(self, queue: str, seconds: float = LOOK) -> None:
        """Wait until something was put into the queue since the last wait, at most so many seconds (up to LOOK)."""
        self._waiting.blpop([f"{self.namespace}:{queue}.wake", self._stop_key], min(seconds, LOOK))

    def stop_waiting(self) -> None:
        """Wake this consumer's own `wait`, for a stop that need not wait."""
        with contextlib.suppress(redis.RedisError, OSError):
            self.client.rpush(self._stop_key, "1")
            self.client.expire(self._stop_key, 5)

    def finish(
        self,
        queue: str,
        acks: Sequence[str | bytes],
        sends: Sequence[dramatiq.Message[Any]] = (),
        *,
        leased: Container[str] = (),
    ) -> None:
        """Send results, then ack, and give the leases of those in `leased` back: all in one step of the server.

        Raises:
            BrokerFull: at maxmemory; nothing was done. Acks alone are always taken.
            redis.RedisError: away; perhaps done. Both are safe to repeat.
        """
        args: list[Any] = [queue, self.broker_id, len(sends), len(acks), *_packed(sends)]
        for id_ in acks:
            args += (id_, self.holder if id_ in leased else "")
        with _full():
            self._finish(keys=[self.namespace], args=args)

    def requeue(self, queue: str, ids: Iterable[str]) -> int:
        """Give fetched messages back unworked; return how many."""
        return int(self._requeue(keys=[self.namespace], args=[queue, self.broker_id, "these", *ids]))

    def reclaim(self, queue: str, known: Iterable[str] = ()) -> int:
        """Put back what this consumer's set holds beyond `known`: a swallowed answer's, or an earlier life's; return how many."""
        return int(self._requeue(keys=[self.namespace], args=[queue, self.broker_id, "others", *known]))

    def beat(self, queue: str, leases: Iterable[str] = ()) -> int:
        """Say that this consumer lives, renew its leases (task ids), take back messages of dead consumers; return how many."""
        return int(
            self._beat(keys=[self.namespace], args=[queue, self.broker_id, DEAD_AFTER * 1000, self.holder, *leases])
        )

    def life(self) -> str:
        """Which life of the server this is: changes with a restart and with a FLUSHALL, after either messages may be lost.

        Raises:
            BrokerUnfit: the server may evict queues.
        """
        run_id, policy, mark = (
            str(part or b"", "ascii")
            for part in self._life(keys=[f"{self.namespace}:__life__"], args=[os.urandom(8).hex()])
        )
        if policy != "noeviction":
            raise BrokerUnfit(
                f"the broker evicts keys when it is full (maxmemory-policy {policy}) and would lose"
                " tasks: set maxmemory-policy noeviction, or point BROKER_REDIS_URL at the broker instead of the cache"
            )
        return f"{run_id}:{mark}"

    def depth(self, queue: str) -> int:
        """How many messages wait in the queue."""
        return int(self.client.llen(f"{self.namespace}:{queue}"))

    def close(self) -> None:
        self.client.close()
        self._waiting.close()


@contextlib.contextmanager
def _full() -> Iterator[None]:
    try:
        yield
    except redis.ResponseError as error:
        # Before Redis 7 the server's OOM inside a script arrives as the script's error.
        if isinstance(error, redis.OutOfMemoryError) or "OOM" in str(error):
            raise BrokerFull("the broker is at maxmemory") from None
        raise


def _packed(messages: Iterable[dramatiq.Message[Any]]) -> Iterable[Any]:
    for message in messages:
        id_ = f"{message.message_id}/{os.urandom(6).hex()}"
        yield message.queue_name
        yield id_
        yield message.copy(options={"redis_message_id": id_}).encode()
