"""The relay: takes due tasks from the outbox to the broker. It is the only retry, delay and schedule there is.

One thread in the service's host, with a connection of its own. What this process accepts is handed to it after the commit
(`hand`): its row is due only some seconds later, so it goes to the broker without a look into the outbox, and most tasks
have been answered before the row need be touched. Everything else it takes from the outbox, by moving `due_at` to the time
of the next attempt, commits, and publishes: a row that gets no answer is published again after the function's time limit
and an allowance, doubling up to 15 minutes, without end. When the broker was restarted or flushed, all of its rows go at once.

A queue holds no more than a little work: the rest waits here, where it costs the broker nothing and where what is new need
not wait behind it (`Room`).
"""

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Container, Iterable, Sequence
from datetime import timedelta
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import dramatiq
import msgspec
import psycopg
import redis

from runtime import pg, telemetry
from runtime.delivery import outbox
from runtime.delivery.broker import Broker, BrokerFull, BrokerUnfit, Depth
from runtime.delivery.envelope import bulk_actors, queue_of, task_message
from runtime.delivery.outbox import State
from runtime.delivery.turns import in_turn
from shared import clock, idempotency, spans, supervision, wake
from shared.wake import Accepted

log = logging.getLogger("eco2.relay")

# Seconds by which this process's clock may be set back before the times in the outbox are looked at again.
STEP = 5.0
# Rows of another replica's transactions, and rows that become due, are found at the latest after this, in seconds (of the
# machine's clock: so short a wait need not notice that the system's was moved). What this process accepts wakes it at once.
LOOK = 2.0
# While more is due than the queues take, it looks after them again and again, with pauses that double up to the longer one, in
# seconds: a queue whose worker works is never empty for want of a look.
LOOK_AGAIN, LOOK_LATER = 0.02, 0.5
# Seconds within which every consumer knows what was switched on again.
KNOWN = 10.0
# So many messages wait in a queue, and so many late ones beside them, and no more are published to it: at the speed of a
# worker that does nothing, the work of a tenth of a second.
ROOM = 400
# Above this part of the broker's memory nothing is published: results, streams and revocations have the rest.
FULL = 0.75
# Two turns begin at least so many seconds apart: under load what comes meanwhile goes together, and a turn alone begins at once.
PACE = 0.004
# What was handed over waits here for a place in its queue up to so many seconds, and then in the outbox. What was published
# and is still open after so many is noted there. Both well before it is due for all relays (shared.wake.HANDED).
PATIENCE, NOTED = 2.0, 1.0
# So many at most wait here: what is left out is in the outbox, and due for all relays in a moment.
MOST = 5_000
# So many of those at most are published, and noted, in one step.
STEP_ROWS = 200
# Housekeeping (old idempotency keys, settings, gauges), in seconds.
CHORES = 10.0
SCHEDULE_LIMIT = timedelta(minutes=10)


class Room:
    """Which queues take more: looked up where one was full, and otherwise known from the last publication."""

    def __init__(self) -> None:
        self._full: dict[str, Depth] = {}

    def note(self, depths: dict[str, Depth]) -> None:
        for queue, depth in depths.items():
            if depth.waiting >= ROOM or depth.late >= ROOM:
                self._full[queue] = depth
            else:
                self._full.pop(queue, None)

    def look(self, broker: Broker) -> None:
        self.note(broker.depths(list(self._full)))

    def takes(self, queue: str) -> bool:
        """Whether this queue takes what is of this moment."""
        depth = self._full.get(queue)
        return depth is None or depth.waiting < ROOM

    def full(self) -> dict[str, tuple[bool, bool]]:
        """Which queues are full: of what is of this moment, and of late ones."""
        return {queue: (depth.waiting >= ROOM, depth.late >= ROOM) for queue, depth in self._full.items()}

    @property
    def closed(self) -> list[str]:
        """Queues that take nothing of this moment."""
        return [queue for queue, depth in self._full.items() if depth.waiting >= ROOM]

    @property
    def closed_late(self) -> list[str]:
        """Queues that take nothing late."""
        return [queue for queue, depth in self._full.items() if depth.late >= ROOM]


class Relay:
    """The relay of one service. `start`, then `stop`; `wake` at any time, from any thread.

    Attributes:
        trouble: why it waits just now; empty while it works.
        state: what waits for an answer, some seconds ago.
        on_disabled: called in the relay's thread with the names of all functions that are off, when they change.
    """

    def __init__(self, service: str, dsn: str, broker: Broker, schedules: dict[str, float] | None = None) -> None:
        self.service = service
        self.trouble = ""
        self.state = State(0, 0.0, 0)
        self.published = 0
        self.on_disabled: Callable[[list[str]], None] = lambda names: None
        self.dsn = dsn
        self._broker = broker
        self._schedules = schedules or {}
        self._bulk = bulk_actors()
        self._disabled: list[str] | None = None
        self._life = ""
        self._full = 0.0
        self._room = Room()
        self._ahead: float | None = None
        self._looked = self._chores = self._taken = self._begun = 0.0
        # Handed over, with when that was; and what of it is published and not noted yet, with when, and to which life.
        self._handed: deque[tuple[float, Accepted]] = deque(maxlen=MOST)
        self._waiting: list[tuple[float, Accepted]] = []
        self._unnoted: deque[tuple[float, list[UUID]]] = deque(maxlen=MOST)
        self._slots: dict[str, int] = {}
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._connection: psycopg.Connection[Any] | None = None
        self._loop: supervision.ThreadLoop | None = None
        wake.register(self)
        self._observe()

    def start(self) -> None:
        self._loop = supervision.thread(f"relay-{self.service}", self._run)

    def wake(self) -> None:
        """Look into the outbox."""
        self._taken = 0.0
        self._wake.set()

    def hand(self, accepted: Sequence[Accepted]) -> None:
        """Publish these, which have just been committed: a moment's work for whoever accepted them."""
        now = time.monotonic()
        self._handed.extend((now, one) for one in accepted)
        self._wake.set()

    def look_at_settings(self) -> None:
        """Do the chores (what is disabled, what is old) at the next turn and not within ten seconds."""
        self._chores = 0.0
        self._wake.set()

    def stop(self) -> None:
        """Finish what is being published, then end. What is left in the outbox is another replica's, or the next start's."""
        wake.unregister(self)
        self._stopping.set()
        if self._loop is not None:
            self._loop.stopping()
            self._wake.set()
            self._loop.stop(10)

    def _observe(self) -> None:
        for name, help_text, read in (
            ("eco2_outbox_depth", "Tasks accepted and not yet answered, up to 10,000", lambda: self.state.depth),
            ("eco2_outbox_age_seconds", "Age of the oldest task not yet answered", lambda: self.state.oldest),
            (
                "eco2_outbox_retried",
                "Tasks published three times or more without an answer, up to 10,000",
                lambda: self.state.retried,
            ),
            ("eco2_outbox_published_total", "Messages that the relay published", lambda: self.published),
        ):
            telemetry.gauges.add(name, help_text, read, service=self.service)

    def _run(self) -> None:
        pause = 0.1
        while not self._stopping.is_set():
            # What is handed over from here on wakes the next turn.
            self._wake.clear()
            try:
                more = self._turn()
                pause, self.trouble = 0.1, ""
                if not more:
                    self._rest()
            except (psycopg.Error, redis.RedisError, OSError, BrokerFull, BrokerUnfit) as error:
                said = f"{type(error).__name__}: {error}".strip().splitlines()[0]
                if not self.trouble:
                    log.warning("the relay of %s waits: %s", self.service, said)
                self.trouble = said
                if isinstance(error, psycopg.Error):
                    self._disconnect()
                else:
                    self._looked = 0.0
                self._stopping.wait(pause)
                pause = min(pause * 2, 1.0)
        # What fails here is due for the other relays in a moment.
        with contextlib.suppress(psycopg.Error, redis.RedisError, OSError, BrokerFull, BrokerUnfit):
            self._receive()
            self._publish_handed()
            self._note_published(self._connect(), 0.0)
        self._disconnect()

    def _rest(self) -> None:
        """Wait until something new may be due, or until a queue that was full takes more."""
        look = NOTED if self._unnoted or self._waiting else LOOK
        end, pause = time.monotonic() + look, LOOK_AGAIN
        full = self._room.full()
        while not self._wake.wait(min(pause, look) if full else look) and time.monotonic() < end:
            self._room.look(self._broker)
            if self._room.full() != full:
                self._taken = 0.0
                return
            pause = min(pause * 2, LOOK_LATER)
        if (early := self._begun + PACE - time.monotonic()) > 0:
            self._stopping.wait(early)

    def _turn(self) -> bool:
        """Do what is to be done now; return whether there may be more."""
        self._begun = time.monotonic()
        self._receive()
        conn = self._connect()
        if not 0 <= (now := clock.time()) - self._chores < CHORES:
            self._chores = now
            self._do_chores(conn)
        self._follow_clock(conn)
        self._follow_broker(conn)
        self._insert_due_schedules(conn)
        if self._full >= FULL:
            raise BrokerFull(
                f"{self._full:.0%} of its memory is in use, the rest is for results: tasks wait in the outbox"
            )
        more = self._publish_handed()
        self._note_published(conn, NOTED)
        if self._begun - self._taken < LOOK:
            return more
        self._taken = self._begun
        if self._publish_due(conn):
            self._taken = 0.0
            return True
        return more

    def _receive(self) -> None:
        """Take in what was handed over; what found no place for long, and what is switched off, is left to the outbox."""
        # Only what has had a chance: a turn that took long must not leave all that came meanwhile to the outbox.
        since, off = self._begun - PATIENCE, self._disabled or ()
        self._waiting = [(at, task) for at, task in self._waiting if at >= since]
        while self._handed:
            self._waiting.append(self._handed.popleft())
        since = self._begun - wake.HANDED.total_seconds()
        # And no more than there is memory for: the oldest are left to it.
        self._waiting = [(at, task) for at, task in self._waiting if at >= since and task.actor not in off][-MOST:]

    def _publish_handed(self) -> bool:
        """Publish what was handed over and has room; return whether there may be more at once."""
        if not self._waiting:
            return False
        chosen: list[Accepted] = []
        rest: list[tuple[float, Accepted]] = []
        for at, task in in_turn(self._waiting, lambda one: one[1].person):
            if len(chosen) < STEP_ROWS and self._room.takes(queue_of(task.actor, self._bulk)):
                chosen.append(task)
            else:
                rest.append((at, task))
        if not chosen:
            return False
        self._publish(chosen)
        self._waiting = rest
        self._unnoted.append((time.monotonic(), [task.id for task in chosen]))
        if spans.on():
            for task in chosen:
                spans.event(task.actor, "publish", task.traceparent or "", task=str(task.id), attempt=1)
        return bool(rest) and not self._room.full()

    def _note_published(self, conn: psycopg.Connection[Any], age: float) -> None:
        """Note in the outbox what was published so many seconds ago and is still open."""
        ids: list[UUID] = []
        while self._unnoted and len(ids) < STEP_ROWS and self._unnoted[0][0] <= time.monotonic() - age:
            ids += self._unnoted.popleft()[1]
        if ids:
            outbox.confirm(conn, self._life, ids)

    def _connect(self) -> psycopg.Connection[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = pg.connect(self.dsn, f"eco2-relay-{self.service}")
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _follow_clock(self, conn: psycopg.Connection[Any]) -> None:
        ahead = clock.time() - time.monotonic()
        # At the start, and after the clock was set back: not each turn, or two clocks would outbid each other for ever.
        if self._ahead is None or ahead < self._ahead - STEP:
            outbox.mend_times(conn, clock.now())
        self._ahead = ahead

    def _follow_broker(self, conn: psycopg.Connection[Any]) -> None:
        # A restarted broker may have lost its last second, a flushed one everything: what it had goes out again now.
        if self._looked and time.monotonic() - self._looked < LOOK / 2:
            return
        life = self._broker.life()
        self._looked, self._full = time.monotonic(), life.full
        if life.mark != self._life:
            # Whoever had them has lost them: they are due for all relays in a moment.
            self._unnoted.clear()
            outbox.publish_lost(conn, clock.now(), life.mark)
            if self._disabled is not None:
                self._broker.say_disabled(self._disabled)
            self._life = life.mark

    def _publish_due(self, conn: psycopg.Connection[Any]) -> bool:
        """Publish what is due and has room; return whether there was anything."""
        rows = outbox.take(
            conn,
            clock.now(),
            self._life,
            closed=self._room.closed,
            closed_late=self._room.closed_late,
            disabled=self._disabled or [],
            bulk=self._bulk,
        )
        if not rows:
            return False
        at = clock.time()
        try:
            self._publish(rows, late={str(row.id) for row in rows if row.late})
        except (redis.RedisError, OSError, BrokerFull):
            # Not a second attempt spent. If this update fails too, they wait their time.
            outbox.give_back(conn, [row.id for row in rows])
            raise
        if spans.on():
            for row in rows:
                spans.event(row.actor, "publish", row.traceparent or "", at, task=str(row.id), attempt=row.attempts)
        return True

    def _publish(self, tasks: Iterable[Accepted], late: Container[str] = ()) -> None:
        messages: list[dramatiq.Message[Any]] = []
        for task in tasks:
            try:
                messages.append(task_message(self.service, task, self._bulk))
            except (ValueError, OverflowError, msgspec.DecodeError) as error:
                # A row that no message can be made of waits its time, counts its attempts, and holds up no one.
                log.error("task %s for %s can't be published: %s", task.id, task.actor, error)
        self._room.note(self._broker.publish(messages, late=late))
        # Only now: a broker that is full or away would be shown as one that is given more and more.
        self.published += len(messages)

    def _insert_due_schedules(self, conn: psycopg.Connection[Any]) -> None:
        for name, every in self._schedules.items():
            slot = int(clock.time() // every)
            if self._slots.get(name) != slot:
                id_ = uuid5(NAMESPACE_URL, f"eco2:{self.service}/{name}/{slot}")
                outbox.insert_scheduled(conn, id_, f"{self.service}/{name}", slot, clock.now(), SCHEDULE_LIMIT)
                self._slots[name] = slot

    def _do_chores(self, conn: psycopg.Connection[Any]) -> None:
        now = clock.now()
        self._follow_settings(conn)
        outbox.sweep(conn, now, idempotency.LIFETIME)
        self.state = outbox.state(conn, now)

    def _follow_settings(self, conn: psycopg.Connection[Any]) -> None:
        disabled = outbox.disabled(conn)
        if disabled != self._disabled:
            self.on_disabled(disabled)
            # Also at the start: what was known last may be from before the last relay ended, and be on again since. Of this
            # service's: others that start at the same moment have told the consumers already.
            before = self._broker.known_disabled(self.service) if self._disabled is None else self._disabled
            self._broker.say_disabled(disabled)
            enabled = [name for name in before if name not in disabled]
            if enabled:
                # What is published and not noted yet may have been dropped, too.
                while self._unnoted:
                    self._note_published(conn, 0.0)
                # A consumer that does not know yet would drop them once more.
                outbox.publish_enabled(conn, clock.now() + timedelta(seconds=KNOWN), enabled)
            # Last, so that what is cut off before is done again, by the next relay if need be.
            self._broker.know_disabled(self.service, disabled)
            self._disabled = disabled
