"""What a task is doing now, for the person who waits: a capped stream in the broker per subject, readable from any replica.

Workers publish (blocking); a service's host reads all streams that somebody listens to over one connection and hands the
events to Server-Sent Events answers. Nothing that matters rests on these streams: the truth is the owner's row.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from uuid import UUID

import msgspec
from msgspec import Struct

from shared.errors import Unavailable

if TYPE_CHECKING:
    import redis
    import redis.asyncio

log = logging.getLogger(__name__)

# Events kept per stream, about: tokens of a long answer fit.
LENGTH = 2000
# Seconds that a stream outlives its last event.
KEPT = 24 * 3600
# A comment line this often keeps proxies from closing a quiet connection.
COMMENT_EVERY = 15.0
# How often a listener looks at the owner's row itself: covers a broker that is away and an event that was lost.
LOOK_EVERY = 2.0
# For so many seconds after a failure nothing is published: each try at a broker that hangs would cost the work its patience.
AWAY = 5.0
# Seconds between two reads of the streams: what comes meanwhile comes together, for one read costs as much as many events.
GATHER = 0.005


def stream(subject: UUID) -> str:
    """The stream's key in Redis."""
    return f"progress:{subject}"


class Event(Struct, frozen=True):
    """One entry: `id` is Redis' own, `run` the run that wrote it, `data` ready to send."""

    id: str
    name: str
    run: str
    data: dict[str, Any]


_STOPPING = Event("0-0", "stopping", "", {})


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
        pipe.expire(key, KEPT)
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


class Hub:
    """Reads every stream that somebody in this process listens to, over one blocking connection."""

    def __init__(self, connect: Callable[[], redis.asyncio.Redis]) -> None:
        self._connect = connect
        self._listeners: dict[str, set[asyncio.Queue[Event]]] = {}
        self._last: dict[str, str] = {}
        self._changed = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None
        self._client: redis.asyncio.Redis | None = None
        self.draining = False

    @property
    def client(self) -> redis.asyncio.Redis:
        if self._client is None:
            self._client = self._connect()
        return self._client

    async def past(self, subject: UUID, after: str) -> list[Event]:
        """Events that are in the stream now, later than the id `after` ("0" for all); none while the broker is away."""
        from shared.redis import within

        try:
            async with within("broker"):
                entries = await self.client.xrange(stream(subject), f"({after}" if after != "0" else "-", "+")
        except Unavailable:
            return []
        return [_event(entry) for entry in entries or ()]

    @contextlib.asynccontextmanager
    async def listen(self, subject: UUID) -> AsyncIterator[asyncio.Queue[Event]]:
        """A queue of the events that come from now on (some that just came may appear in `past` too)."""
        key = stream(subject)
        queue: asyncio.Queue[Event] = asyncio.Queue()
        first = key not in self._listeners
        self._listeners.setdefault(key, set()).add(queue)
        try:
            if first:
                # Begin at what is newest now; `past` reads the rest, and listeners drop what they have seen by id.
                self._last[key] = await self._newest(key)
                self._changed.set()
            if self._reader is None or self._reader.done():
                self._reader = asyncio.create_task(self._read())
            yield queue
        finally:
            listeners = self._listeners[key]
            listeners.discard(queue)
            if not listeners:
                del self._listeners[key]
                self._last.pop(key, None)

    async def close(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reader
        if self._client is not None:
            await self._client.aclose()

    def drain(self) -> None:
        """Let every listener's answer end: the process is about to stop, and clients resume elsewhere by the last id."""
        self.draining = True
        for queues in self._listeners.values():
            for queue in queues:
                queue.put_nowait(_STOPPING)

    async def _xread(self, wanted: dict[str, str]) -> Any:
        return await self.client.xread(dict(wanted), block=1000, count=500)  # type: ignore[arg-type]

    async def _newest(self, key: str) -> str:
        from shared.redis import within

        try:
            async with within("broker"):
                entries = await self.client.xrevrange(key, count=1)
        except Unavailable:
            return "0"
        return str(entries[0][0]) if entries else "0"

    async def _read(self) -> None:
        from redis.exceptions import RedisError

        while self._listeners:
            self._changed.clear()
            wanted = {key: self._last[key] for key in self._listeners if key in self._last}
            if not wanted:
                await self._changed.wait()
                continue
            read: asyncio.Task[Any] = asyncio.create_task(self._xread(wanted))
            changed = asyncio.create_task(self._changed.wait())
            # A new listener must not wait for the end of the others' blocking read.
            try:
                await asyncio.wait({read, changed}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                # Also when the hub is closed meanwhile: a read left alone would hold its connection.
                changed.cancel()
                read.cancel()
            try:
                answer = await read
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise
                await asyncio.sleep(GATHER)
                continue
            except (RedisError, OSError):
                await asyncio.sleep(0.5)
                continue
            for key, entries in answer or ():
                if key in self._last:
                    self._last[key] = entries[-1][0]
                for entry in entries:
                    event = _event(entry)
                    for queue in self._listeners.get(key, ()):
                        queue.put_nowait(event)
            await asyncio.sleep(GATHER)


def _event(entry: Any) -> Event:
    id_, fields = entry
    return Event(id_, fields["name"], fields["run"], msgspec.json.decode(fields["data"]))


def _line(name: str, data: Any, id_: str | None) -> bytes:
    head = f"id: {id_}\n" if id_ else ""
    return f"{head}event: {name}\ndata: {msgspec.json.encode(data).decode()}\n\n".encode()


def _later(a: str, b: str) -> bool:
    def parts(value: str) -> tuple[int, ...]:
        return tuple(int(part) for part in value.split("-"))

    return parts(a) > parts(b)


async def follow(
    hub: Hub,
    subject: UUID,
    look: Callable[[], Awaitable[tuple[str, Any] | None]],
    last_event_id: str | None = None,
    *,
    restart: bool = False,
) -> AsyncIterator[bytes]:
    """The bytes of a Server-Sent Events answer: the subject's events, then its terminal state, then the end.

    Args:
        hub: the process's reader.
        subject: whose events.
        look: reads the owner's row; answers `("done" | "failed", entity)` once it is terminal, else None.
        last_event_id: where the client got to; events after it are sent again.
        restart: tell the client with a `restart` event to discard what an interrupted run sent.
    """
    seen = last_event_id if last_event_id and _valid_id(last_event_id) else "0"
    run = ""
    async with hub.listen(subject) as queue:
        if seen != "0" and restart:
            earlier = await hub.past(subject, "0")
            # Unknown when a broker lost the stream: then what follows is another run's.
            run = next((e.run for e in reversed(earlier) if not _later(e.id, seen) and e.run), "unknown")
        waiting = await hub.past(subject, seen)
        look_now = True
        quiet_since = looked = time.monotonic()

        def lines(events: list[Event]) -> Iterator[bytes]:
            nonlocal seen, run
            for event in events:
                if event.name not in ("ended", "stopping") and _later(event.id, seen):
                    if restart and event.run and run and event.run != run:
                        yield _line("restart", {}, None)
                    run = event.run or run
                    seen = event.id
                    yield _line(event.name, event.data, event.id)

        while True:
            look_now = look_now or any(event.name == "ended" for event in waiting)
            if chunk := b"".join(lines(waiting)):
                quiet_since = time.monotonic()
                yield chunk
            # The row is read when something says that it changed, and every now and then: not once for every token.
            if look_now or time.monotonic() - looked >= LOOK_EVERY:
                look_now, looked = False, time.monotonic()
                terminal = await look()
                if terminal is not None:
                    chunk = b"".join(lines(await hub.past(subject, seen)))
                    yield chunk + _line(terminal[0], terminal[1], None)
                    return
            if hub.draining:
                return
            waiting = []
            # Not `wait_for`, which makes a task each time.
            silent = COMMENT_EVERY - (time.monotonic() - quiet_since)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, min(LOOK_EVERY, silent))):
                    waiting.append(await queue.get())
            while not queue.empty():
                waiting.append(queue.get_nowait())
            if time.monotonic() - quiet_since >= COMMENT_EVERY:
                quiet_since = time.monotonic()
                yield b": still here\n\n"


class Ending(Protocol):
    """A row that ends: `status` is pending, success or failure; a failure says why."""

    status: Any
    error: str | None
    error_code: str | None


E = TypeVar("E", bound=Ending)


def looking_at(first: E, select: Callable[[], Awaitable[E | None]]) -> Callable[[], Awaitable[tuple[str, Any] | None]]:
    """A `look` for `follow`: reads the row by `select` until it has ended, or is gone.

    A stream that has begun can't answer 404 or 503 any more. A row deleted meanwhile ends it as `failed`, with what was
    last known of it; a database that is away leaves the stream open, and the row is read again soon.
    """
    known = first

    async def look() -> tuple[str, Any] | None:
        nonlocal known
        try:
            found = await select()
        except Unavailable:
            return None
        if found is None:
            known.status, known.error_code, known.error = "failure", "deleted", "It was deleted meanwhile."
            return "failed", known
        known = found
        if found.status == "pending":
            return None
        return ("done" if found.status == "success" else "failed"), found

    return look


def _valid_id(value: str) -> bool:
    head, _, tail = value.partition("-")
    return value.isascii() and head.isdigit() and tail.isdigit() and len(value) <= 40
