"""The answers that tell of progress: a subject's stream in the broker as Server-Sent Events, until its row has ended.

A service's host reads all streams that somebody listens to over one connection (`Hub`); `follow` makes an answer of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from uuid import UUID

import msgspec
from msgspec import Struct

from shared import identity, supervision
from shared.errors import Unavailable
from shared.ids import new_id
from shared.progress import KEPT_AFTER, stream

if TYPE_CHECKING:
    import redis.asyncio

    from shared.supervision import TaskLoop

log = logging.getLogger(__name__)

# Events that wait for a client that does not read: more than come between two reads of the streams.
QUEUED = 1000
# A comment line this often keeps proxies from closing a quiet connection.
COMMENT_EVERY = 15.0
# How often a listener looks at the owner's row itself: covers a broker that is away and an event that was lost.
LOOK_EVERY = 2.0
# But all listeners of a process together no oftener than this in a second: a thousand that wait for a long queue would else be
# most of the work, and make it longer.
LOOKS_A_SECOND = 10.0
# How often a stream asks whether its session still holds: a revocation is known within 2 s, and 5 are promised, also where the
# process is busy.
SESSION_EVERY = 1.5
# Seconds between two reads of the streams: what comes meanwhile comes together, because one read costs as much as many events.
GATHER = 0.005
# And so many more for each stream that is read: a read names all of them, so a thousand would else cost a thousand times as much
# for every event, just when the events are most and the listeners wait in a long queue anyway.
GATHER_EACH = 0.00025


class Event(Struct, frozen=True):
    """One entry: `id` is Redis' own, `run` the run that wrote it, `data` ready to send."""

    id: str
    name: str
    run: str
    data: dict[str, Any]


# Told to listeners beside the stream's events: the process is about to stop; events were left out, and are in the stream.
_STOPPING = Event("0-0", "stopping", "", {})
_MISSED = Event("0-0", "missed", "", {})
_OURS = ("ended", "stopping", "missed")


class _Subject:
    """Whom to tell of one subject's events, and the id of the last one told."""

    def __init__(self) -> None:
        self.listeners: set[asyncio.Queue[Event]] = set()
        self.last = "0"


class Hub:
    """Reads every stream that somebody in this process listens to, over one blocking connection.

    A read under way does not know of a stream that somebody listens to since then. It ends by an event of the hub's own: to
    cancel it would cost a new connection.
    """

    def __init__(self, connect: Callable[[], redis.asyncio.Redis]) -> None:
        self._connect = connect
        self._subjects: dict[str, _Subject] = {}
        self._own, self._own_last = stream(new_id()), "0"
        self._reader: TaskLoop | None = None
        self._reading = False
        self._blocked = False
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
        return _events(entries or ())

    @property
    def listeners(self) -> int:
        """For how many subjects somebody listens."""
        return len(self._subjects)

    @contextlib.asynccontextmanager
    async def listen(self, subject: UUID) -> AsyncIterator[tuple[asyncio.Queue[Event], bool]]:
        """A queue of the events that come from now on, and whether those of before come in it too.

        They do for the first who listens; of others some that just came may appear in `past` too.
        """
        key = stream(subject)
        queue: asyncio.Queue[Event] = asyncio.Queue(QUEUED)
        first = key not in self._subjects
        told = self._subjects.setdefault(key, _Subject())
        told.listeners.add(queue)
        try:
            if not self._reading:
                self._reading = True
                self._reader = supervision.task("progress reader", self._read, once=True)
            elif first and self._blocked:
                await self._end_read()
            yield queue, first
        finally:
            told.listeners.discard(queue)
            if not told.listeners:
                del self._subjects[key]

    async def close(self) -> None:
        if self._reader is not None:
            await self._reader.stop()
        if self._client is not None:
            await self._client.aclose()

    def drain(self) -> None:
        """Let every listener's answer end: the process is about to stop, and clients resume elsewhere by the last id."""
        self.draining = True
        for told in self._subjects.values():
            for queue in told.listeners:
                _tell(queue, _STOPPING)

    async def _end_read(self) -> None:
        """Have the read that is under way end, so that the next one names those who came meanwhile."""
        from shared.redis import within

        # With the broker away no read is under way for long.
        with contextlib.suppress(Unavailable):
            async with within("broker"):
                pipe = self.client.pipeline(transaction=False)
                pipe.xadd(self._own, {"name": "again"}, maxlen=1)
                pipe.expire(self._own, KEPT_AFTER)
                await pipe.execute()

    async def _read(self) -> None:
        from redis.exceptions import RedisError

        while self._subjects:
            # The subject that the answer is for: another may be listened to under its key by then.
            wanted = dict(self._subjects)
            try:
                answer = await self._next(wanted)
            except (RedisError, OSError):
                await asyncio.sleep(0.5)
                continue
            for key, entries in answer:
                if key == self._own:
                    self._own_last = entries[-1][0]
                    continue
                told = wanted[key]
                told.last = entries[-1][0]
                for event in _events(entries):
                    for queue in told.listeners:
                        _tell(queue, event)
            await asyncio.sleep(GATHER + GATHER_EACH * len(wanted))
        # In the same step as the look at who is there: whoever comes now starts the reading anew.
        self._reading = False

    async def _next(self, wanted: dict[str, _Subject]) -> Any:
        """What comes next on these streams; nothing after a second without."""
        after = {key: told.last for key, told in wanted.items()} | {self._own: self._own_last}
        self._blocked = True
        try:
            return await self.client.xread(after, block=1000, count=500) or ()  # type: ignore[arg-type]  # wider keys than ours
        finally:
            self._blocked = False


def _tell(queue: asyncio.Queue[Event], event: Event) -> None:
    """Put an event into a listener's queue; of one whose client does not read, it keeps only that something was missed."""
    if queue.full():
        while not queue.empty():
            queue.get_nowait()
        queue.put_nowait(_MISSED)
    queue.put_nowait(event)


def _events(entries: Iterable[Any]) -> list[Event]:
    """The entries as events; what no publisher of ours wrote is left out."""
    found = []
    for id_, fields in entries:
        try:
            found.append(Event(id_, fields["name"], fields["run"], msgspec.json.decode(fields["data"], type=dict)))
        except (KeyError, msgspec.DecodeError) as error:
            log.warning("left out an entry of a progress stream that is not an event: %s", error)
    return found


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
    async with hub.listen(subject) as (queue, first):
        if seen != "0" and restart:
            earlier = await hub.past(subject, "0")
            # Unknown when a broker lost the stream: then what follows is another run's.
            run = next((e.run for e in reversed(earlier) if not _later(e.id, seen) and e.run), "unknown")
        waiting = [] if first else await hub.past(subject, seen)
        look_now = True
        quiet_since = looked = time.monotonic()

        def lines(events: list[Event]) -> Iterator[bytes]:
            nonlocal seen, run
            for event in events:
                if event.name not in _OURS and _later(event.id, seen):
                    if restart and event.run and run and event.run != run:
                        yield _line("restart", {}, None)
                    run = event.run or run
                    seen = event.id
                    yield _line(event.name, event.data, event.id)

        while True:
            ended = any(event.name == "ended" for event in waiting)
            look_now = look_now or ended
            if chunk := b"".join(lines(waiting)):
                quiet_since = time.monotonic()
                yield chunk
            # The row is read when something says that it changed, and every now and then: not once for every token.
            look_every = max(LOOK_EVERY, hub.listeners / LOOKS_A_SECOND)
            if look_now or time.monotonic() - looked >= look_every:
                look_now, looked = False, time.monotonic()
                terminal = await look()
                if terminal is not None:
                    # Where the end itself was told, all that came before it was.
                    chunk = b"" if ended else b"".join(lines(await hub.past(subject, seen)))
                    yield chunk + _line(terminal[0], terminal[1], None)
                    return
            # A session that has ended is told nothing more; the client hears 401 when it comes again.
            if hub.draining or identity.session_over():
                return
            waiting = []
            # Not `wait_for`, which makes a task each time.
            silent = COMMENT_EVERY - (time.monotonic() - quiet_since)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, min(look_every, silent, SESSION_EVERY))):
                    waiting.append(await queue.get())
            while not queue.empty():
                waiting.append(queue.get_nowait())
            if _MISSED in waiting:
                waiting = await hub.past(subject, seen) + waiting
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
    """A `look` for `follow`: reads the row by `select` until it has ended, or is gone. The first look is `first`: just read.

    A stream that has begun can't answer 404 or 503 any more. A row deleted meanwhile ends it as `failed`, with what was
    last known of it; a database that is away leaves the stream open, and the row is read again soon.
    """
    known, fresh = first, True

    async def look() -> tuple[str, Any] | None:
        nonlocal known, fresh
        try:
            # What ends after it was read says so in the stream.
            found = first if fresh else await select()
        except Unavailable:
            return None
        fresh = False
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
