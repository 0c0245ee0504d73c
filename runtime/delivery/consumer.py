"""What every runner of queue functions does with the broker: fetch, send and ack in batches, and beat."""

from __future__ import annotations

import contextlib
import heapq
import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any
from uuid import UUID

import dramatiq
import redis
from msgspec import Struct

from runtime import telemetry
from runtime.binding import Call
from runtime.delivery.broker import Broker, BrokerFull, BrokerUnfit, Delivery
from runtime.forms import Refused
from shared import supervision

log = logging.getLogger("eco2.worker")

# Results and acks that one step to the broker carries at most.
BATCH = 256
# Results that wait in memory while the broker is full, at most.
UNSENT = 10_000
# Seconds between beats: leases and the consumer's own sign of life.
BEAT = 5.0


class Consumer:
    """What every runner of queue functions does: fetch, send and ack in batches, and beat.

    Three threads, so that a slow function stops neither the beats nor the acks of others. A subclass gets each batch in
    `take` and calls `done` for every delivery, once. `reach` is told each point of a run's way that it comes to: a test ends
    the process just there.
    """

    leases = False
    # What to do when a loop is lost that has something of a task in its hands: the process ends, and what the broker, the
    # outbox and the journal know of the task brings it again.
    give_up = staticmethod(supervision.end_process)

    def __init__(
        self, service: str, broker: Broker, prefetch: int, least: int = 1, *, queue_name: str | None = None
    ) -> None:
        self.reach: Callable[[str], None] = lambda point: None
        self.service = service
        self.queue = queue_name or service
        self.broker = broker
        self.prefetch = prefetch
        # A fetch waits until there is room for so many: what comes together costs one step to the broker.
        self.least = least
        # Why each of the loops waits for the broker. Of its own each: one that had no need of the broker while it was away has
        # nothing to take back of what another said, and would leave it said for ever.
        self._waits: dict[str, str] = {}
        self.finished = 0
        self.refused = 0
        # Names ("folder/function") of what an operator switched off, as far as it is known here.
        self.disabled: frozenset[str] = frozenset()
        self._held: dict[str, Delivery] = {}
        self._room = threading.Condition()
        self._done: queue.SimpleQueue[list[Done] | None] = queue.SimpleQueue()
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        self._later_lock = threading.Lock()
        self._count = 0
        self._unsent: list[dramatiq.Message[Any]] = []
        self._stopping = threading.Event()
        self._over = threading.Event()
        self._nudge = threading.Event()  # the keeping thread has something new to keep
        self._lost = True
        self._loops: dict[str, supervision.ThreadLoop] = {}

    def start(self) -> None:
        for name, loop, again in (
            ("fetch", self._fetch, True),
            ("finish", self._finish, False),
            ("keep", self._keep, True),
        ):
            self._loops[name] = supervision.thread(f"{self.queue}-{name}", loop, again=again, give_up=self.give_up)

    @property
    def trouble(self) -> str:
        """Why it waits for the broker; empty while it works."""
        return next(iter(list(self._waits.values())), "")

    @property
    def held(self) -> int:
        """How many messages are fetched and not acked."""
        return len(self._held)

    def take(self, deliveries: list[Delivery]) -> None:
        raise NotImplementedError

    def done(
        self, delivery: Delivery, sends: Sequence[dramatiq.Message[Any]] = (), *, leased: bool = False, ack: bool = True
    ) -> None:
        """Send, ack and forget a delivery; without `ack` it goes back into its queue."""
        self._done.put([Done(delivery, sends, leased, ack)])

    def refuse(self, delivery: Delivery, task_id: UUID, refused: Refused) -> None:
        """Put off a task whose message this version of the code can't read: the relay brings it again, to newer code perhaps.

        Not back into the queue: a message that no one ever reads would go round in it.
        """
        self.refused += 1
        name = delivery.message.actor_name
        log.error("%s/%s can't read its message of task %s, which waits: %s", self.service, name, task_id, refused)
        self.done(delivery, leased=self.leases)

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Run something short in the keeping thread after so many seconds."""
        with self._later_lock:
            self._count += 1
            heapq.heappush(self._later, (time.monotonic() + seconds, self._count, action))
        self._nudge.set()

    def _fetch(self) -> None:
        self._lost, pause = True, 0.1
        emptied = False  # by the last fetch: whatever comes after that wakes who waits
        while not self._stopping.is_set():
            with self._room:
                room = self.prefetch - len(self._held)
                if room < self.least:
                    self._room.wait(0.5)
                    emptied = False
                    continue
            try:
                if self._lost:
                    # A cut connection may have swallowed a fetch's answer: those messages are ours and no one knows.
                    self._lost = False
                    self.broker.life()
                    self.disabled = self.broker.disabled()
                    self.broker.reclaim(self.queue, list(self._held))
                    pause = 0.1
                    self._waits.pop("fetch", None)
                if emptied:
                    emptied = False
                    self.broker.wait(self.queue)
                    continue
                deliveries = self.broker.fetch(self.queue, room, lease=self.leases)
                emptied = len(deliveries) < room
                if not deliveries:
                    continue
            except (redis.RedisError, OSError, BrokerUnfit) as error:
                self._say("fetch", error)
                self._lost, emptied = True, False
                self._stopping.wait(pause)
                pause = min(pause * 2, 1.0)
                continue
            self.reach("received")
            with self._room:
                for delivery in deliveries:
                    self._held[delivery.id] = delivery
            try:
                self.take([delivery for delivery in deliveries if not self._park(delivery)])
            except BaseException:  # raised again
                # No one knows which were taken: they go back, and what is under way drops its second copy.
                for delivery in deliveries:
                    self.done(delivery, leased=self.leases, ack=False)
                raise

    def _park(self, delivery: Delivery) -> bool:
        """Whether its function is switched off. Then its row in the outbox is all that is left of it, until it is on again."""
        name = f"{self.service}/{delivery.message.actor_name}"
        if name not in self.disabled:
            return False
        log.info("%s is switched off, its message goes: task %s waits", name, delivery.message.message_id)
        self.done(delivery, leased=self.leases)
        return True

    def _say(self, loop: str, error: Exception) -> None:
        if not self._waits:
            log.warning("%s waits for the broker: %s", self.service, error)
        self._waits[loop] = f"the broker is away: {error}"

    def _finish(self) -> None:
        last = False
        while not last:
            first = self._done.get()
            if first is None:
                break
            batch = first
            with contextlib.suppress(queue.Empty):
                while len(batch) < BATCH:
                    further = self._done.get_nowait()
                    if further is None:
                        last = True
                        break
                    batch += further
            try:
                self._finish_batch(batch)
            except Exception:  # a bug costs this batch its acks, which the next reclaim brings, and not the loop
                log.exception("%s could not finish %d messages", self.service, len(batch))
                # No one holds them any more, so the next reclaim brings what was not acked.
                self._lost = True
            finally:
                with self._room:
                    for done in batch:
                        self._held.pop(done.delivery.id, None)
                    self.finished += len(batch)
                    if self.prefetch - len(self._held) >= self.least:
                        self._room.notify_all()

    def _finish_batch(self, batch: list[Done]) -> None:
        sends = [message for done in batch for message in done.sends]
        acks = [done.delivery.id for done in batch if done.ack]
        back = [done.delivery.id for done in batch if not done.ack]
        leased = {done.delivery.id for done in batch if done.leased}
        pause = 0.05
        while True:
            try:
                if acks or sends:
                    self.reach("sending")
                    self.broker.finish(self.queue, acks, sends, leased=leased)
                    self.reach("acked")
                if back:
                    self.broker.requeue(self.queue, back)
                self._waits.pop("finish", None)
                break
            except BrokerFull as error:
                # Acks free memory, results take it: without acking first nothing would ever move again. The results wait
                # here; if this process dies they are in the journal, and the relay asks again.
                self._say("keep", error)
                self._unsent = (self._unsent + sends)[-UNSENT:]
                sends = []
            except (redis.RedisError, OSError) as error:
                self._say("finish", error)
                if self._over.wait(pause):
                    break
                pause = min(pause * 2, 1.0)

    def _keep(self) -> None:
        beat = 0.0
        while not self._over.is_set():
            now = time.monotonic()
            if now - beat >= BEAT:
                beat = now
                try:
                    unsent, self._unsent = self._unsent, []
                    try:
                        self.broker.publish(unsent)
                    except (redis.RedisError, OSError, BrokerFull):
                        self._unsent += unsent
                        raise
                    if not self._unsent:
                        self._waits.pop("keep", None)
                    self.broker.beat(self.queue, self.leased_tasks())
                    self.disabled = self.broker.disabled()
                except (redis.RedisError, OSError, BrokerFull) as error:
                    log.debug("no beat: %s", error)
                self.chores()
            due = []
            with self._later_lock:
                while self._later and self._later[0][0] <= now:
                    due.append(heapq.heappop(self._later)[2])
                next_ = self._later[0][0] - now if self._later else BEAT
            for action in due:
                action()
            if not due:
                self._nudge.wait(min(next_, max(0.01, beat + BEAT - time.monotonic())))
                self._nudge.clear()

    def leased_tasks(self) -> list[str]:
        """Ids of the tasks whose leases are to be renewed."""
        return []

    def chores(self) -> None:
        """Something else to do every few seconds."""

    def stop_fetching(self) -> None:
        self._stopping.set()
        if "fetch" in self._loops:
            self._loops["fetch"].stopping()
        self.broker.stop_waiting()

    def join_fetching(self, seconds: float) -> None:
        """Wait until nothing more comes into `take`, at most so many seconds."""
        self._loops["fetch"].stop(max(0.1, seconds))

    def finish_all(self, seconds: float) -> None:
        """Send what is done, give back what is not, end the threads. Nothing new is taken from `stop_fetching` on."""
        end = time.monotonic() + seconds
        self.join_fetching(min(seconds, 6.0))
        self._loops["finish"].stopping()
        self._done.put(None)
        self._loops["finish"].stop(max(0.1, end - time.monotonic()))
        self._loops["keep"].stopping()
        self._over.set()
        self._nudge.set()
        self._loops["finish"].stop()
        self._loops["keep"].stop()
        with contextlib.suppress(redis.RedisError, OSError):
            self.broker.reclaim(self.queue)


class Done(Struct, frozen=True):
    """What becomes of a delivery: see `Consumer.done`."""

    delivery: Delivery
    sends: Sequence[dramatiq.Message[Any]]
    leased: bool
    ack: bool = True


def observe(consumer: Consumer, broker: Broker, functions: Mapping[str, Call]) -> None:
    """Have the consumer's numbers, and those of its functions' messages, shown at /metrics."""

    def depth() -> float | None:
        try:
            return broker.depth(consumer.queue)
        except (redis.RedisError, OSError):
            return None

    for name, help_text, read in (
        ("eco2_queue_depth", "Messages that wait in the broker", depth),
        ("eco2_tasks_held", "Messages fetched and not acked", lambda: consumer.held),
        ("eco2_tasks_finished_total", "Messages acked", lambda: consumer.finished),
        ("eco2_messages_refused_total", "Messages that this version can't read", lambda: consumer.refused),
    ):
        telemetry.gauges.add(name, help_text, read, service=consumer.queue)
    help_text = "Fields of messages that this version does not know, and left out"
    for function, call in functions.items():
        if call.form is not None:
            read = partial(getattr, call.form, "unknown")
            telemetry.gauges.add(
                "eco2_message_fields_unknown_total", help_text, read, service=consumer.service, function=function
            )
