"""The relay: takes due tasks from the outbox to the broker. It is the only retry, delay and schedule there is.

One thread in the service's host, with a connection of its own. It takes due rows by moving `due_at` to the time of the next
attempt, commits, and publishes: a row that gets no answer is published again after the function's time limit and an
allowance, doubling up to 15 minutes, without end. When the broker was restarted or flushed, all of its rows go at once.

A queue holds no more than a little work: the rest waits here, where it costs the broker nothing and where what is new need
not wait behind it (`Room`).
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import dramatiq
import msgspec
import psycopg
import redis

from runtime import pg, telemetry
from runtime.delivery import outbox
from runtime.delivery.broker import Broker, BrokerFull, BrokerUnfit, Depth
from runtime.delivery.envelope import bulk_actors, task_message
from runtime.delivery.outbox import Row, State
from shared import clock, idempotency, spans, supervision, wake

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
        self._dsn = dsn
        self._broker = broker
        self._schedules = schedules or {}
        self._bulk = bulk_actors()
        self._disabled: list[str] | None = None
        self._life = ""
        self._full = 0.0
        self._room = Room()
        self._ahead: float | None = None
        self._looked = self._chores = 0.0
        self._slots: dict[str, int] = {}
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._connection: psycopg.Connection[Any] | None = None
        self._loop: supervision.ThreadLoop | None = None
        self._unregister = wake.register(self.wake)
        self._observe()

    def start(self) -> None:
        self._loop = supervision.thread(f"relay-{self.service}", self._run)

    def wake(self) -> None:
        self._wake.set()

    def look_at_settings(self) -> None:
        """Do the chores (what is disabled, what is old) at the next turn and not within ten seconds."""
        self._chores = 0.0
        self._wake.set()

    def stop(self) -> None:
        """Finish what is being published, then end. What is left in the outbox is another replica's, or the next start's."""
        self._unregister()
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
            self._wake.clear()
        self._disconnect()

    def _rest(self) -> None:
        """Wait until something new may be due, or until a queue that was full takes more."""
        end, pause = time.monotonic() + LOOK, LOOK_AGAIN
        full = self._room.full()
        while not self._wake.wait(min(pause, LOOK) if full else LOOK) and time.monotonic() < end:
            self._room.look(self._broker)
            if self._room.full() != full:
                return
            pause = min(pause * 2, LOOK_LATER)

    def _turn(self) -> bool:
        """Do what is to be done now; return whether there may be more."""
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
        return self._publish_due(conn)

    def _connect(self) -> psycopg.Connection[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = pg.connect(self._dsn, f"eco2-relay-{self.service}")
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
            self._room.note(self._broker.publish(self._messages(rows), late={str(row.id) for row in rows if row.late}))
        except (redis.RedisError, OSError, BrokerFull):
            # Not a second attempt spent. If this update fails too, they wait their time.
            outbox.give_back(conn, [row.id for row in rows])
            raise
        if spans.on():
            for row in rows:
                spans.event(row.actor, "publish", row.traceparent or "", at, task=str(row.id), attempt=row.attempts)
        return True

    def _messages(self, rows: Iterable[Row]) -> list[dramatiq.Message[Any]]:
        messages = []
        for row in rows:
            try:
                arguments = msgspec.json.decode(str(row.message), type=dict[str, Any])
                messages.append(task_message(self.service, msgspec.structs.replace(row, message=arguments), self._bulk))
            except (ValueError, OverflowError, msgspec.DecodeError) as error:
                # A row that no message can be made of waits its time, counts its attempts, and holds up no one.
                log.error("task %s for %s can't be published: %s", row.id, row.actor, error)
        self.published += len(messages)
        return messages

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
            # Also at the start: what was said last may be from before the last relay ended.
            self._broker.say_disabled(disabled)
            enabled = [name for name in self._disabled or [] if name not in disabled]
            self._disabled = disabled
            if enabled:
                # A consumer that does not know yet would drop them once more.
                outbox.publish_enabled(conn, clock.now() + timedelta(seconds=KNOWN), enabled)
