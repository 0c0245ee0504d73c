"""The relay: takes due tasks from the outbox to the broker. It is the only retry, delay and schedule there is.

One thread in the service's host, with a connection of its own. It leases due rows by moving `due_at` to the time of the
next attempt, commits, and publishes: a row that gets no answer is published again after the function's time limit and an
allowance, doubling up to 15 minutes, without end. When the broker was restarted or flushed, all of its rows go at once.
"""

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import dramatiq
import msgspec
import psycopg
import redis
from msgspec import Struct
from psycopg.rows import class_row

from runtime import pg, telemetry
from runtime.delivery.broker import Broker, BrokerFull, BrokerUnfit
from shared import clock, idempotency, spans, wake

log = logging.getLogger("eco2.relay")

# A message may wait that long in a queue, beyond the function's own time limit, before it counts as lost.
ALLOWANCE = timedelta(seconds=30)
LONGEST = timedelta(minutes=15)
# Seconds by which this process's clock may be set back before the times in the outbox are looked at again.
STEP = 5.0
BATCH = 200
# Rows of another replica's transactions, and rows that become due, are found at the latest after this, in seconds (of the
# machine's clock: so short a wait need not notice that the system's was moved). What this process accepts wakes it at once.
LOOK = 2.0
# Housekeeping (old idempotency keys, settings, gauges), in seconds.
CHORES = 10.0
FAILED_KEPT = timedelta(days=7)

_LEASE = """
UPDATE outbox SET attempts = attempts + 1, published_to = %(life)s,
    due_at = %(now)s + LEAST((time_limit + %(allowance)s) * power(2, LEAST(attempts, 20)),
        GREATEST(%(longest)s, time_limit + %(allowance)s))
WHERE id IN (SELECT id FROM outbox WHERE due_at <= %(now)s AND actor <> ALL(%(disabled)s)
    ORDER BY due_at LIMIT %(batch)s FOR UPDATE SKIP LOCKED)
RETURNING id, actor, message::text AS message, reply, subject, traceparent, created_at, time_limit, attempts, retries
"""
# Times that no right clock has written: a relay that was a day ahead, or whose host was, left its tasks lying for a day.
_MEND = """
UPDATE outbox SET due_at = %(now)s WHERE due_at > %(now)s AND (attempts = 0 AND due_at = created_at
    OR attempts > 0 AND due_at > %(now)s + GREATEST(%(longest)s, time_limit + %(allowance)s) + %(allowance)s)
"""


class Row(Struct, frozen=True):
    """An outbox row on its way."""

    id: UUID
    actor: str
    message: dict[str, Any]
    reply: str | None
    subject: UUID
    traceparent: str | None
    created_at: datetime
    time_limit: timedelta
    attempts: int
    retries: int


class Envelope(Struct, frozen=True):
    """What a message carries beside the actor's arguments, as `options["task"]`. `service` is the owner's folder.

    `deadline` is when the relay publishes the task again, in RFC 3339: a copy that is older still may run.
    """

    id: UUID
    subject: UUID
    service: str
    queued_at: str
    reply: str | None = None
    traceparent: str = ""
    attempt: int = 1
    retries: int = 0
    deadline: str = ""
    # An Outcome on its way back, not a task.
    answer: bool = False


def to_message(service: str, row: Row) -> dramatiq.Message[Any]:
    """The Dramatiq message of an outbox row."""
    folder, _, function = row.actor.partition("/")
    envelope = Envelope(
        id=row.id,
        subject=row.subject,
        service=service,
        queued_at=row.created_at.isoformat(),
        reply=row.reply,
        traceparent=row.traceparent or "",
        attempt=row.attempts,
        retries=row.retries,
        deadline=(clock.now() + row.time_limit).isoformat(),
    )
    return dramatiq.Message(
        queue_name=folder,
        actor_name=function,
        args=(),
        kwargs=row.message,
        options={"task": msgspec.to_builtins(envelope)},
        message_id=str(row.id),
        message_timestamp=int(clock.time() * 1000),
    )


class Relay:
    """The relay of one service. `start`, then `stop`; `wake` at any time, from any thread.

    Attributes:
        trouble: why it waits just now; empty while it works.
        depth: tasks accepted and not yet answered, some seconds ago; `oldest` of them in seconds; `retried` three times or more.
    """

    def __init__(self, service: str, dsn: str, broker: Broker, schedules: dict[str, float] | None = None) -> None:
        self.service = service
        self.trouble = ""
        self.depth = self.retried = self.published = 0
        self.oldest = 0.0
        self._dsn = dsn
        self._broker = broker
        self._schedules = schedules or {}
        self._disabled: list[str] = []
        # Called in the relay's thread with the names of all functions that are off, when they change.
        self.on_disabled: Callable[[list[str]], None] = lambda names: None
        self._life = ""
        self._ahead: float | None = None
        self._looked = self._chores = 0.0
        self._slots: dict[str, int] = {}
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._connection: psycopg.Connection[Any] | None = None
        self._thread = threading.Thread(target=self._run, name=f"relay-{service}", daemon=True)
        self._unregister = wake.register(self.wake)
        for name, help_text, read in (
            ("eco2_outbox_depth", "Tasks accepted and not yet answered", lambda: self.depth),
            ("eco2_outbox_age_seconds", "Age of the oldest task not yet answered", lambda: self.oldest),
            ("eco2_outbox_retried", "Tasks published three times or more without an answer", lambda: self.retried),
            ("eco2_outbox_published_total", "Messages that the relay published", lambda: self.published),
        ):
            telemetry.gauges.add(name, help_text, read, service=service)

    def start(self) -> None:
        self._thread.start()

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
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join(10)

    def _run(self) -> None:
        pause = 0.1
        while not self._stopping.is_set():
            try:
                conn = self._connect()
                if not 0 <= (now := clock.time()) - self._chores < CHORES:
                    self._chores = now
                    self._do_chores(conn)
                self._follow_clock(conn)
                self._follow_broker(conn)
                self._insert_due_schedules(conn)
                more = self._publish_due(conn) == BATCH
                pause, self.trouble = 0.1, ""
                if not more:
                    self._wake.wait(LOOK)
            except (psycopg.Error, redis.RedisError, OSError, BrokerFull, BrokerUnfit) as error:
                said = f"{type(error).__name__}: {error}".strip().splitlines()[0]
                if not self.trouble:
                    log.warning("the relay of %s waits: %s", self.service, said)
                self.trouble = said
                if isinstance(error, psycopg.Error):
                    self._disconnect()
                else:
                    self._life = ""
                self._stopping.wait(pause)
                pause = min(pause * 2, 1.0)
            except Exception:  # the outermost point of the thread
                # A thread that ended for a bug would stop all tasks and say nothing.
                log.exception("the relay of %s stumbled and goes on", self.service)
                self._stopping.wait(1.0)
            self._wake.clear()
        self._disconnect()

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
            conn.execute(_MEND, {"now": clock.now(), "longest": LONGEST, "allowance": ALLOWANCE})
        self._ahead = ahead

    def _follow_broker(self, conn: psycopg.Connection[Any]) -> None:
        # A restarted broker may have lost its last second, a flushed one everything: what it had goes out again now.
        if self._life and time.monotonic() - self._looked < LOOK / 2:
            return
        life = self._broker.life()
        self._looked = time.monotonic()
        if life != self._life:
            conn.execute(
                "UPDATE outbox SET due_at = %s WHERE published_to IS NOT NULL AND published_to <> %s AND due_at > %s",
                [now := clock.now(), life, now],
            )
            self._life = life

    def _publish_due(self, conn: psycopg.Connection[Any]) -> int:
        with conn.cursor(row_factory=class_row(Row)) as cursor:
            rows = cursor.execute(
                _LEASE,
                {
                    "now": clock.now(),
                    "life": self._life,
                    "allowance": ALLOWANCE,
                    "longest": LONGEST,
                    "disabled": self._disabled,
                    "batch": BATCH,
                },
            ).fetchall()
        if not rows:
            return 0
        messages = []
        for row in rows:
            try:
                arguments = msgspec.json.decode(str(row.message), type=dict[str, Any])
                messages.append(to_message(self.service, msgspec.structs.replace(row, message=arguments)))
            except (ValueError, OverflowError, msgspec.DecodeError) as error:
                # A row that no message can be made of waits its time, counts its attempts, and holds up nobody.
                log.error("task %s for %s can't be published: %s", row.id, row.actor, error)
        try:
            self._broker.publish(messages)
        except (redis.RedisError, OSError, BrokerFull):
            # Not a second attempt spent: the broker never had them. If this update fails too, they wait their time.
            conn.execute(
                "UPDATE outbox SET due_at = created_at, attempts = greatest(attempts - 1, 0), published_to = NULL"
                " WHERE id = ANY(%s)",
                [[row.id for row in rows]],
            )
            raise
        self.published += len(messages)
        if spans.on():
            for row in rows:
                spans.event(row.actor, "publish", row.traceparent or "", task=str(row.id), attempt=row.attempts)
        return len(rows)

    def _insert_due_schedules(self, conn: psycopg.Connection[Any]) -> None:
        for name, every in self._schedules.items():
            slot = int(clock.time() // every)
            if self._slots.get(name) == slot:
                continue
            id_ = uuid5(NAMESPACE_URL, f"eco2:{self.service}/{name}/{slot}")
            conn.execute(
                "WITH first AS (INSERT INTO schedule_slots (name, slot) VALUES (%(name)s, %(slot)s) ON CONFLICT (name)"
                # A slot from further on than the next is a wrong clock's, and would stop the schedule until then.
                " DO UPDATE SET slot = excluded.slot WHERE schedule_slots.slot < excluded.slot"
                " OR schedule_slots.slot > excluded.slot + 1 RETURNING slot)"
                " INSERT INTO outbox (id, actor, message, subject, created_at, due_at, time_limit)"
                # One that has not run (disabled, stuck) stands for this one too: a bad night leaves one, not hundreds.
                " SELECT %(id)s, %(actor)s, '{}', %(id)s, %(now)s, %(now)s, %(limit)s FROM first"
                " WHERE NOT EXISTS (SELECT FROM outbox WHERE actor = %(actor)s) ON CONFLICT (id) DO NOTHING",
                {
                    "name": name,
                    "slot": slot,
                    "id": id_,
                    "actor": f"{self.service}/{name}",
                    "now": clock.now(),
                    "limit": timedelta(minutes=10),
                },
            )
            self._slots[name] = slot

    def _do_chores(self, conn: psycopg.Connection[Any]) -> None:
        now = clock.now()
        row = conn.execute("SELECT value FROM public.settings WHERE key = 'functions.disabled'").fetchone()
        disabled = [str(name) for name in row[0]] if row else []
        if disabled != self._disabled:
            self._disabled = disabled
            self.on_disabled(disabled)
        conn.execute(
            "DELETE FROM idempotency WHERE ctid = ANY(ARRAY(SELECT ctid FROM idempotency WHERE created_at < %s LIMIT 5000))",
            [now - idempotency.LIFETIME],
        )
        conn.execute("DELETE FROM failed_tasks WHERE failed_at < %s", [now - FAILED_KEPT])
        row = conn.execute(
            "SELECT count(*), min(created_at), count(*) FILTER (WHERE attempts >= 3) FROM outbox"
        ).fetchone()
        assert row is not None
        self.depth, self.retried = row[0], row[2]
        self.oldest = (now - row[1]).total_seconds() if row[1] else 0.0
