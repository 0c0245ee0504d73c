"""The broker: Dramatiq's Redis broker with its gaps closed. It carries messages and wakes workers; it guarantees nothing.

Keys and messages are Dramatiq's own (`keys.py`). What differs, and why:

- a fetch waits on a list that every publication pushes to, where the stock consumer polls with a growing pause;
- one script sends the results, acks and gives the leases back, so a batch costs one round trip (`scripts/*.lua`); it travels
  as one MessagePack, because redis-py packs each argument by itself and sends a few kilobytes at a time;
- with leases a fetch serves people in turn: first those of whom the consumer has least in its hands, so that one's twelve
  heavy photos do not make another's wait for all of them;
- what is not of this moment (a backlog, what is published again) waits in a list of its own beside the queue's: every fourth
  fetch begins there, the others with what is new, so neither waits for the other;
- no delay queues and no retries: both strand in a live worker's set of fetched messages after an outage. The relay has them;
- consumers that died are found by Redis's clock and on every beat, not with a chance of 0.1 % and by the clock of a client
  (which, 61 s ahead, made healthy tasks run twice);
- a worker with a journal has the same id in its next life, and takes back at once what its last life had fetched.
"""

import contextlib
import os
from collections.abc import Container, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import dramatiq
import msgspec
import redis
from dramatiq.brokers.redis import RedisBroker
from redis.backoff import NoBackoff
from redis.commands.core import Script
from redis.retry import Retry

from runtime import broker_keys as keys

# Seconds without a beat after which another consumer takes a consumer's messages back.
DEAD_AFTER = 15
# Seconds a lease on a task id lasts; the worker renews it every sixth of that.
LEASE = 30
# An idle consumer looks for itself that often, in seconds: for messages of a producer that pushes no wake-up.
LOOK = 2.0
# Every so many fetches the late list comes first.
LATE_TURN = 4
_PATIENCE = 3.0
_SCRIPTS = Path(__file__).with_name("scripts")


class BrokerUnfit(Exception):
    """This Redis can't be the broker; the message says why and what to set."""


class BrokerFull(Exception):
    """The broker is at maxmemory and takes no new messages."""


class Delivery(msgspec.Struct, frozen=True):
    """A fetched message. `id` is Redis's, of this one copy; the task's id is `message.message_id`."""

    id: str
    queue: str
    message: dramatiq.Message[Any]


class Life(msgspec.Struct, frozen=True):
    """A life of the server: `mark` changes with a restart and with a FLUSHALL, after either messages may be lost.

    `full` is the part of maxmemory that is in use, 0 to 1; 0 where there is no limit.
    """

    mark: str
    full: float


class Depth(msgspec.Struct, frozen=True):
    """How many messages wait in a queue: of this moment, and late ones."""

    waiting: int
    late: int


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
            driver_info=None,
        )
        super().__init__(client=client, middleware=[], namespace=keys.NAMESPACE)  # type: ignore[no-untyped-call]  # dramatiq's constructor has no types
        self.actor_options |= {"time_limit"}
        self.broker_id = consumer or os.urandom(8).hex()
        # This life of the process, as the holder of leases.
        self.holder = f"{self.broker_id}:{os.urandom(4).hex()}"
        self._stop_key = keys.stop(self.holder)
        self._fetches = 0
        self._waiting = redis.Redis.from_url(
            url,
            socket_connect_timeout=_PATIENCE,
            socket_timeout=LOOK + _PATIENCE,
            retry=Retry(NoBackoff(), 0),
            driver_info=None,
        )
        self._publish, self._fetch = _script(client, "publish"), _script(client, "fetch")
        self._finish, self._requeue = _script(client, "finish"), _script(client, "requeue")
        self._beat, self._life = _script(client, "beat"), _script(client, "life")

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

    def publish(self, messages: Sequence[dramatiq.Message[Any]], *, late: Container[str] = ()) -> dict[str, Depth]:
        """Put messages into their queues and wake who waits there; return how many wait in each of these queues now.

        Args:
            late: ids of those messages that are not of this moment.

        Raises:
            BrokerFull: at maxmemory; nothing was put.
            redis.RedisError: away.
        """
        if not messages:
            return {}
        queues = _numbered(messages)
        names: list[str] = []
        for queue in queues:
            names += (keys.waiting(queue), keys.late(queue), keys.messages(queue), keys.wake(queue))
        arguments: list[Any] = []
        for message in messages:
            where = "late" if message.message_id in late else ""
            arguments += (queues[message.queue_name], where, *_packed(message))
        with _full():
            found = self._publish(keys=names, args=[msgspec.msgpack.encode(arguments)])
        return {queue: Depth(found[2 * n], found[2 * n + 1]) for queue, n in queues.items()}

    def fetch(self, queue: str, count: int, *, lease: bool = False) -> list[Delivery]:
        """Take up to `count` messages; with `lease`, those whose task no one works on now (a second copy is dropped)."""
        self._fetches += 1
        lengths, parts = self._fetch(
            keys=[
                keys.waiting(queue),
                keys.late(queue),
                keys.messages(queue),
                keys.fetched(self.broker_id, queue),
                keys.heartbeats(queue),
                keys.wake(queue),
            ],
            args=[
                self.broker_id,
                count,
                self.holder if lease else "",
                LEASE * 1000,
                keys.lease(queue, "%s"),
                "" if self._fetches % LATE_TURN else "late",
            ],
        )
        deliveries, found = [], iter(_cut(parts, lengths))
        for id_, data in zip(found, found, strict=True):
            try:
                deliveries.append(Delivery(id_.decode(), queue, _unpacked(data)))
            except (ValueError, RecursionError, TypeError):
                # Whatever it is, it must not hold up those behind it.
                self.logger.error("dropped a message on %s that is none: id %s", queue, id_)
                self.finish(queue, [id_])
        return deliveries

    def wait(self, queue: str, seconds: float = LOOK) -> None:
        """Wait until something was put into the queue since the last wait, at most so many seconds (up to LOOK)."""
        self._waiting.blpop([keys.wake(queue), self._stop_key], min(seconds, LOOK))

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
        queues = _numbered(sends)
        names = [keys.messages(queue), keys.fetched(self.broker_id, queue)]
        for to in queues:
            names += (keys.waiting(to), keys.messages(to), keys.wake(to))
        sent: list[Any] = []
        for message in sends:
            sent += (queues[message.queue_name], *_packed(message))
        acked: list[str] = []
        for id_ in acks:
            if isinstance(id_, str):
                acked += (id_, self.holder if id_ in leased else "")
        lists = map(msgspec.msgpack.encode, (sent, acked))
        no_texts = (id_ for id_ in acks if isinstance(id_, bytes))
        with _full():
            self._finish(keys=names, args=[keys.lease(queue, "%s"), *lists, *no_texts])

    def requeue(self, queue: str, ids: Iterable[str]) -> int:
        """Give fetched messages back unworked; return how many."""
        return self._put_back(queue, "these", ids)

    def reclaim(self, queue: str, known: Iterable[str] = ()) -> int:
        """Put back what this consumer's set holds beyond `known`: a swallowed answer's, or an earlier life's; return how many."""
        return self._put_back(queue, "others", known)

    def _put_back(self, queue: str, which: str, ids: Iterable[str]) -> int:
        names = [keys.waiting(queue), keys.messages(queue), keys.fetched(self.broker_id, queue), keys.wake(queue)]
        return int(self._requeue(keys=names, args=[self.broker_id, keys.lease(queue, "%s"), which, *ids]))

    def beat(self, queue: str, leases: Iterable[str] = ()) -> int:
        """Say that this consumer lives, renew its leases (task ids), take back messages of dead consumers; return how many."""
        names = [keys.heartbeats(queue), keys.waiting(queue), keys.messages(queue), keys.wake(queue)]
        patterns = (keys.fetched("%s", queue), keys.lease(queue, "%s"))
        arguments: list[Any] = [self.broker_id, DEAD_AFTER * 1000, *patterns, self.holder, LEASE * 1000, *leases]
        return int(self._beat(keys=names, args=arguments))

    def life(self) -> Life:
        """Which life of the server this is, and how full it is.

        Raises:
            BrokerUnfit: the server may evict queues.
        """
        run_id, policy, mark, used, most = (
            str(part or b"", "ascii") for part in self._life(keys=[keys.LIFE], args=[os.urandom(8).hex()])
        )
        if policy != "noeviction":
            raise BrokerUnfit(
                f"the broker evicts keys when it is full (maxmemory-policy {policy}) and would lose"
                " tasks: set maxmemory-policy noeviction, or point BROKER_REDIS_URL at the broker instead of the cache"
            )
        return Life(f"{run_id}:{mark}", int(used) / int(most) if int(most) else 0.0)

    def depths(self, queues: Sequence[str]) -> dict[str, Depth]:
        """How many messages wait in each queue."""
        if not queues:
            return {}
        with self.client.pipeline(transaction=False) as pipe:
            for queue in queues:
                pipe.llen(keys.waiting(queue))
                pipe.llen(keys.late(queue))
            found = pipe.execute()
        return {queue: Depth(found[2 * n], found[2 * n + 1]) for n, queue in enumerate(queues)}

    def depth(self, queue: str) -> int:
        """How many messages wait in the queue."""
        found = self.depths([queue])[queue]
        return found.waiting + found.late

    def say_disabled(self, names: Iterable[str]) -> None:
        """Tell every consumer which functions ("folder/name") are switched off: what the broker holds for them is parked, too."""
        self.client.set(keys.DISABLED, msgspec.json.encode(sorted(names)))

    def disabled(self) -> frozenset[str]:
        """Which functions are switched off, as far as a relay has said."""
        return _names(self.client.get(keys.DISABLED))

    def know_disabled(self, service: str, names: Iterable[str]) -> None:
        """Note for the service's next relay what this one has seen to."""
        self.client.set(keys.known_disabled(service), msgspec.json.encode(sorted(names)))

    def known_disabled(self, service: str) -> frozenset[str]:
        """What the service's last relay has seen to; what consumers were told, where none has noted it."""
        found = self.client.get(keys.known_disabled(service))
        return self.disabled() if found is None else _names(found)

    def close(self) -> None:
        self.client.close()
        self._waiting.close()


def _names(found: Any) -> frozenset[str]:
    with contextlib.suppress(msgspec.DecodeError):
        return frozenset(msgspec.json.decode(found or b"[]", type=list[str]))
    return frozenset()


def _script(client: redis.Redis, name: str) -> Script:
    text = "".join((_SCRIPTS / f"{part}.lua").read_text(encoding="utf-8") for part in ("common", name))
    return client.register_script(text)


@contextlib.contextmanager
def _full() -> Iterator[None]:
    try:
        yield
    except redis.ResponseError as error:
        # Inside a script an older server's OOM arrives as the script's error, not as OutOfMemoryError.
        if isinstance(error, redis.exceptions.OutOfMemoryError) or "OOM" in str(error):
            raise BrokerFull("the broker is at maxmemory") from None
        raise


def _numbered(messages: Iterable[dramatiq.Message[Any]]) -> dict[str, int]:
    """The queues of messages, each with its number."""
    return {queue: number for number, queue in enumerate(dict.fromkeys(message.queue_name for message in messages))}


def _cut(parts: bytes, lengths: bytes) -> Iterator[bytes]:
    """The parts of a text by their lengths."""
    at = 0
    for length in map(int, lengths.split()):
        yield parts[at : at + length]
        at += length


def _packed(message: dramatiq.Message[Any]) -> tuple[str, str]:
    """A copy's id in Redis and its data: Dramatiq's own JSON, at a fifth of what its encoder costs."""
    person = message.options.get("task", {}).get("person", "")
    id_ = f"{message.message_id}/{os.urandom(6).hex()}" + (f"/{person}" if person else "")
    try:
        fields = vars(message) | {"options": message.options | {"redis_message_id": id_}}
        return id_, msgspec.json.encode(fields).decode()
    except UnicodeEncodeError:
        # Half a character, which only an escape can carry: one such text must not keep the others of a batch.
        return id_, message.copy(options={"redis_message_id": id_}).encode().decode()


def _unpacked(data: bytes) -> dramatiq.Message[Any]:
    """The message.

    Raises:
        ValueError, RecursionError, TypeError: it is none (of msgspec's errors those of JSON are ValueErrors, too).
    """
    fields = msgspec.json.decode(data)
    msgspec.convert(fields, _Sound)
    return dramatiq.Message(**fields)
