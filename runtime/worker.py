"""Runs a service's queue functions.

A worker (a service with a journal) runs them in threads: lease, journal `pending`, work, journal the terminal state, send
the Outcome to its owner, ack, in this order, so that a process killed between any two of them loses nothing. An API service
runs its own on its host's event loop, with the host's pool; there the transaction that writes the outcome and settles the
outbox row is what makes a task end once.

    python -m runtime.worker storage      one worker process (`eco2 work storage`)
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import heapq
import inspect
import logging
import os
import queue
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints
from uuid import UUID

import dramatiq
import msgspec
import psycopg
import redis
from msgspec import Struct

from runtime import journal as journals
from runtime import switch, telemetry
from runtime.broker import Broker, BrokerFull, BrokerUnfit, Delivery
from runtime.journal import Ended, Journal, JournalClosed, JournalUnusable, NotJson, Start
from runtime.relay import Envelope, Relay
from shared import clock, spans, tasks, trace
from shared.errors import Unavailable
from shared.ids import new_id
from shared.messages import Outcome, TaskError
from shared.tasks import Result, Task, TaskFailed

if TYPE_CHECKING:
    from runtime.services import Service
    from shared.db import Database
    from shared.settings import Settings

log = logging.getLogger("eco2.worker")

# The runtime's own actor in every API service: ends a task that nobody takes the outcome of.
SETTLED = "__settled__"
DEFAULT_LIMIT = 600_000
# Results and acks that one step to the broker carries at most.
BATCH = 256
# Results that wait in memory while the broker is full, at most.
UNSENT = 10_000
# Seconds between beats: leases and the consumer's own sign of life.
BEAT = 5.0
# A function that met something away is tried again here after these pauses, in seconds; then it is the relay's turn.
PAUSES = (0.5, 1.0, 2.0, 5.0, 10.0)
# A thread still inside a function so long after its time limit hangs in a call that can't be interrupted.
STUCK = 60.0
# The first SQLite whose WAL can't be corrupted by two connections that write or checkpoint at the same instant.
SQLITE_SOUND = (3, 51, 3)


class Call(Struct, frozen=True):
    """A queue function ready to be called with a message's arguments."""

    function: Callable[..., Any]
    arguments: type[Struct] | None
    seconds: float

    def bind(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """The message's JSON as what the function's annotations say (UUIDs, Structs); unknown fields are left out.

        Raises:
            msgspec.ValidationError: a field is missing or of the wrong form.
        """
        if self.arguments is None:
            return kwargs
        bound = msgspec.convert(kwargs, self.arguments)
        return {name: getattr(bound, name) for name in self.arguments.__struct_fields__}


def call_of(actor: dramatiq.Actor[Any, Any]) -> Call:
    """How to call an actor. Dramatiq wraps coroutine functions for its own event loop; ours is the host's."""
    function = inspect.unwrap(actor.fn)
    return Call(function, _arguments(function), float(actor.options.get("time_limit") or DEFAULT_LIMIT) / 1000)


def _arguments(function: Callable[..., Any]) -> type[Struct] | None:
    fields: list[Any] = []
    hints = get_type_hints(function)
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            return None
        hint = hints.get(parameter.name, Any)
        fields.append(
            (parameter.name, hint)
            if parameter.default is parameter.empty
            else (parameter.name, hint, parameter.default)
        )
    return msgspec.defstruct(getattr(function, "__name__", "Arguments"), fields, kw_only=True)


def envelope(message: dramatiq.Message[Any]) -> Envelope:
    """What a message carries beside the arguments.

    Raises:
        msgspec.ValidationError: it was not made by a relay.
    """
    return msgspec.convert(message.options.get("task"), Envelope)


def answer(sent: Envelope, outcome: Outcome) -> dramatiq.Message[Any]:
    """The message that takes an outcome to the owner of its task."""
    folder, _, function = (sent.reply or f"{sent.service}/{SETTLED}").partition("/")
    return dramatiq.Message(
        queue_name=folder,
        actor_name=function,
        args=(),
        kwargs={"outcome": msgspec.to_builtins(outcome)},
        options={"task": msgspec.to_builtins(msgspec.structs.replace(sent, answer=True, deadline=""))},
        message_id=str(sent.id),
        message_timestamp=int(clock.time() * 1000),
    )


class Consumer:
    """What every runner of queue functions does: fetch, send and ack in batches, and beat.

    Three threads, so that a slow function stops neither the beats nor the acks of others. A subclass gets each batch in
    `take` and calls `done` for every delivery, once.
    """

    leases = False

    def __init__(self, service: str, broker: Broker, prefetch: int) -> None:
        self.service = service
        self.broker = broker
        self.prefetch = prefetch
        self.trouble = ""
        self.finished = 0
        self._held: dict[str, Delivery] = {}
        self._room = threading.Condition()
        self._done: queue.SimpleQueue[_Done | None] = queue.SimpleQueue()
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        self._later_lock = threading.Lock()
        self._count = 0
        self._unsent: list[dramatiq.Message[Any]] = []
        self._stopping = threading.Event()
        self._over = threading.Event()
        self._lost = True
        self._threads = [
            threading.Thread(target=self._guarded, args=(target,), name=f"{service}-{name}", daemon=True)
            for name, target in (("fetch", self._fetch), ("finish", self._finish), ("keep", self._keep))
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

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
        self._done.put(_Done(delivery, sends, leased, ack))

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Run something short in the keeping thread after so many seconds."""
        with self._later_lock:
            self._count += 1
            heapq.heappush(self._later, (time.monotonic() + seconds, self._count, action))

    def _guarded(self, loop: Callable[[], None]) -> None:
        # The outermost point of a thread. A thread that ended for a bug would stop all tasks of the process and say nothing.
        while True:
            try:
                return loop()
            except Exception:
                log.exception("a thread of %s stumbled and goes on", self.service)
                if self._over.wait(1.0):
                    return None

    def _fetch(self) -> None:
        self._lost, pause = True, 0.1
        while not self._stopping.is_set():
            with self._room:
                room = self.prefetch - len(self._held)
                if room <= 0:
                    self._room.wait(0.5)
                    continue
            try:
                if self._lost:
                    # A cut connection may have swallowed a fetch's answer: those messages are ours and nobody knows.
                    self._lost = False
                    self.broker.life()
                    self.broker.reclaim(self.service, list(self._held))
                    pause, self.trouble = 0.1, ""
                deliveries = self.broker.fetch(self.service, room, lease=self.leases)
                if not deliveries:
                    self.broker.wait(self.service)
                    continue
            except (redis.RedisError, OSError, BrokerUnfit) as error:
                self._say(error)
                self._lost = True
                self._stopping.wait(pause)
                pause = min(pause * 2, 1.0)
                continue
            reach("received")
            with self._room:
                for delivery in deliveries:
                    self._held[delivery.id] = delivery
            self.take(deliveries)

    def _say(self, error: Exception) -> None:
        if not self.trouble:
            log.warning("%s waits for the broker: %s", self.service, error)
        self.trouble = f"the broker is away: {error}"

    def _finish(self) -> None:
        last = False
        while not last:
            first = self._done.get()
            if first is None:
                break
            batch = [first]
            with contextlib.suppress(queue.Empty):
                while len(batch) < BATCH:
                    further = self._done.get_nowait()
                    if further is None:
                        last = True
                        break
                    batch.append(further)
            try:
                self._finish_batch(batch)
            finally:
                with self._room:
                    for done in batch:
                        self._held.pop(done.delivery.id, None)
                    self.finished += len(batch)
                    self._room.notify_all()

    def _finish_batch(self, batch: list[_Done]) -> None:
        sends = [message for done in batch for message in done.sends]
        acks = [done.delivery.id for done in batch if done.ack]
        back = [done.delivery.id for done in batch if not done.ack]
        leased = {done.delivery.id for done in batch if done.leased}
        pause = 0.05
        while True:
            try:
                if acks or sends:
                    reach("sending")
                    self.broker.finish(self.service, acks, sends, leased=leased)
                    reach("acked")
                if back:
                    self.broker.requeue(self.service, back)
                break
            except BrokerFull as error:
                # Acks free memory, results take it: without acking first nothing would ever move again. The results wait
                # here; if this process dies they are in the journal, and the relay asks again.
                self._say(error)
                self._unsent = (self._unsent + sends)[-UNSENT:]
                sends = []
            except (redis.RedisError, OSError) as error:
                self._say(error)
                if self._over.wait(pause):
                    break
                pause = min(pause * 2, 1.0)
            except Exception:
                # Nobody holds them any more, so the next reclaim brings what was not acked.
                self._lost = True
                raise

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
                    self.broker.beat(self.service, self.leased_tasks())
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
                self._over.wait(min(next_, 0.25))

    def leased_tasks(self) -> list[str]:
        """Ids of the tasks whose leases are to be renewed."""
        return []

    def chores(self) -> None:
        """Something else to do every few seconds."""

    def stop_fetching(self) -> None:
        self._stopping.set()
        self.broker.stop_waiting()

    def finish_all(self, seconds: float) -> None:
        """Send what is done, give back what is not, end the threads. Nothing new is taken from `stop_fetching` on."""
        end = time.monotonic() + seconds
        self._threads[0].join(max(0.1, min(seconds, 6.0)))
        self._done.put(None)
        self._threads[1].join(max(0.1, end - time.monotonic()))
        self._over.set()
        self._threads[1].join()
        self._threads[2].join()
        with contextlib.suppress(redis.RedisError, OSError):
            self.broker.reclaim(self.service)


class _Done(Struct, frozen=True):
    delivery: Delivery
    sends: Sequence[dramatiq.Message[Any]]
    leased: bool
    ack: bool


class TimeLimitExceeded(BaseException):
    """The function ran into its time limit. A BaseException, so that a function's own handlers let it pass."""


class Limits:
    """Ends functions that take too long, by an exception set in their thread, and never strikes outside of one."""

    def __init__(self) -> None:
        self._armed: dict[int, float] = {}
        self._fired: dict[int, float] = {}
        self._lock = threading.Lock()
        self._changed = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._watch, name="limits", daemon=True)
        self._thread.start()

    @contextlib.contextmanager
    def __call__(self, seconds: float) -> Iterator[None]:
        """Raise TimeLimitExceeded inside the block after so many seconds."""
        me = threading.get_ident()
        with self._lock:
            self._armed[me] = time.monotonic() + seconds
        self._changed.set()
        try:
            yield
        finally:
            self._disarm(me)

    def _disarm(self, me: int) -> None:
        try:
            with self._lock:
                self._take_back(me)
        except TimeLimitExceeded:
            # It struck on the way to the lock: it strikes once, so this time we get there.
            with self._lock:
                self._take_back(me)
            raise

    def _take_back(self, me: int) -> None:
        self._armed.pop(me, None)
        if self._fired.pop(me, None) is not None:
            # Set and perhaps not yet raised: it must not strike later, in the journal's commit.
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(me), None)

    def stuck(self) -> float:
        """For how many seconds the longest function has been over its limit without ending."""
        with self._lock:
            return max((time.monotonic() - fired for fired in self._fired.values()), default=0.0)

    def _watch(self) -> None:
        while not self._closed:
            with self._lock:
                now = time.monotonic()
                for thread, deadline in list(self._armed.items()):
                    if deadline <= now:
                        del self._armed[thread]
                        self._fired[thread] = now
                        ctypes.pythonapi.PyThreadState_SetAsyncExc(
                            ctypes.c_ulong(thread), ctypes.py_object(TimeLimitExceeded)
                        )
                next_ = min(self._armed.values(), default=now + 60.0) - now
            self._changed.wait(max(0.0, min(next_, 60.0)))
            self._changed.clear()

    def close(self) -> None:
        self._closed = True
        self._changed.set()
        self._thread.join()


class _Work(Struct):
    delivery: Delivery
    sent: Envelope
    call: Call
    start: Start
    tries: int = 0


class Worker(Consumer):
    """Runs the functions of a service with a journal, in `threads` threads."""

    leases = True

    def __init__(
        self,
        service: str,
        broker: Broker,
        journal: Journal,
        calls: Mapping[str, Call],
        *,
        threads: int = 2,
        prefetch: int | None = None,
    ) -> None:
        super().__init__(service, broker, prefetch or threads + 1)
        self.journal = journal
        self.limits = Limits()
        self._calls = dict(calls)
        self._tasks: dict[str, str] = {}
        self._work: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._runners = [
            threading.Thread(target=self._run, args=(slot,), name=f"{service}-{slot}", daemon=True)
            for slot in range(threads)
        ]
        self._forgot = time.monotonic()

    def start(self) -> None:
        super().start()
        for runner in self._runners:
            runner.start()

    def stop(self, grace: float) -> None:
        """Take nothing new, finish what runs within `grace` seconds, give the rest back, close the journal."""
        end = time.monotonic() + grace
        self.stop_fetching()
        self._threads[0].join(max(0.0, end - time.monotonic() - 2))
        with contextlib.suppress(queue.Empty):
            while True:
                waiting = self._work.get_nowait()
                if waiting is not None:
                    self._give_back(waiting)
        for _ in self._runners:
            self._work.put(None)
        for runner in self._runners:
            runner.join(max(0.0, end - time.monotonic() - 2))
        self.journal.close()
        self.finish_all(max(1.0, end - time.monotonic()))
        self.limits.close()

    def leased_tasks(self) -> list[str]:
        with self._room:
            return list(self._tasks)

    def chores(self) -> None:
        if time.monotonic() - self._forgot > 600:
            self._forgot = time.monotonic()
            self.journal.forget_payloads()

    def take(self, deliveries: list[Delivery]) -> None:
        starts = [work for delivery in deliveries if (work := self._receive(delivery)) is not None]
        if starts:
            self._begin(starts)

    def _receive(self, delivery: Delivery) -> _Work | None:
        message = delivery.message
        with self._room:
            if message.message_id in self._tasks:
                # A second copy of what this process has in its hands: the first one's result answers both.
                self.done(delivery)
                return None
        try:
            sent = envelope(message)
        except msgspec.ValidationError as error:
            log.error("dropped a message for %s that no relay made: %s", message.actor_name, error)
            self.done(delivery, leased=True)
            return None
        call = self._calls.get(message.actor_name)
        if call is None:
            # Newer code elsewhere may know it: back into the queue, but not at once, or it would go round like a top.
            log.warning("%s has no function %s: its message goes back", self.service, message.actor_name)
            self.later(1.0, lambda: self.done(delivery, ack=False))
            return None
        with self._room:
            self._tasks[message.message_id] = delivery.id
        start = Start(
            task_id=message.message_id,
            name=message.actor_name,
            run_id=str(new_id()),
            queued_at=sent.queued_at,
            retries=sent.retries,
            traceparent=sent.traceparent,
        )
        return _Work(delivery, sent, call, start)

    def _begin(self, works: list[_Work]) -> None:
        try:
            found = self.journal.begin([work.start for work in works]).result()
        except JournalClosed:
            for work in works:
                self._give_back(work)
            return
        reach("journalled")
        if spans.on():
            for work in works:
                spans.event(
                    work.start.name, "journal", work.sent.traceparent, task=work.start.task_id, status="pending"
                )
        for work, ended in zip(works, found, strict=True):
            if ended is None:
                self._work.put(work)
            else:
                self._send(work, ended)

    def _give_back(self, work: _Work) -> None:
        self._forget(work)
        self.done(work.delivery, leased=True, ack=False)

    def _forget(self, work: _Work) -> None:
        with self._room:
            self._tasks.pop(work.start.task_id, None)

    def _run(self, slot: int) -> None:
        while (work := self._work.get()) is not None:
            if work.tries and not self._stopping.is_set():
                again = msgspec.structs.replace(work.start, run_id=str(new_id()))
                work = msgspec.structs.replace(work, start=again)
                try:
                    ended = self.journal.begin([again]).result()[0]
                except JournalClosed:
                    self._give_back(work)
                    continue
                if ended is not None:
                    self._send(work, ended)
                    continue
            if self._stopping.is_set():
                self._give_back(work)
                continue
            self.journal.working(slot, work.start.run_id)
            self._work_on(work)
            self.journal.working(slot, "")

    def _work_on(self, work: _Work) -> None:
        started_at, started = clock.now(), time.perf_counter()
        status, record, payload, error = "success", None, None, None
        task = Task(
            id=UUID(work.start.task_id),
            run_id=UUID(work.start.run_id),
            subject=work.sent.subject,
            attempt=work.sent.attempt,
            deadline=started_at + timedelta(seconds=work.call.seconds),
            traceparent=trace.enter(work.sent.traceparent),
        )
        try:
            reach("working")
            with tasks.running(task), self.limits(work.call.seconds):
                result = work.call.function(**work.call.bind(work.delivery.message.kwargs))
            reach("done")
            if isinstance(result, Result):
                record = None if result.record is None else journals.checked_json(result.record)
                payload = None if result.payload is None else journals.checked_json(result.payload)
        except TimeLimitExceeded:
            status, error = "failure", TaskError("time-limit", f"This took longer than {work.call.seconds:g} s.")
        except TaskFailed as failed:
            status, error = "failure", TaskError(failed.code, _storable(failed.message))
        except Unavailable as away:
            self._not_now(work, away)
            return
        except NotJson as refused:
            log.error("%s gave a result that can't be kept: %s", work.start.name, refused)
            status, record, payload, error = "failure", None, None, TaskError("internal", "Something went wrong here.")
        except Exception:  # the outermost point of a function: whatever it did, the task ends
            log.exception("%s failed on task %s", work.start.name, work.start.task_id)
            status, error = "failure", TaskError("internal", "Something went wrong here.")
        spans.send(
            f"{self.service}/{work.start.name}",
            "task",
            traceparent=task.traceparent,
            parent=work.sent.traceparent,
            started=started_at.timestamp(),
            seconds=time.perf_counter() - started,
            task=work.start.task_id,
            status=status,
            error=error.code if error else None,
        )
        self._end(work, status, record, payload, error, started_at.isoformat())

    def _not_now(self, work: _Work, away: Unavailable) -> None:
        if work.tries < len(PAUSES) and not self._stopping.is_set():
            log.info("%s waits: %s", work.start.name, away)
            again = msgspec.structs.replace(work, tries=work.tries + 1)
            self.later(PAUSES[work.tries], lambda: self._work.put(again))
            return
        log.warning("%s put off task %s: %s", work.start.name, work.start.task_id, away)
        self._forget(work)
        self.done(work.delivery, leased=True)

    def _end(
        self,
        work: _Work,
        status: Any,
        record: str | None,
        payload: str | None,
        error: TaskError | None,
        started_at: str,
    ) -> None:
        ended = Ended(
            task_id=work.start.task_id,
            run_id=work.start.run_id,
            status=status,
            completed_at=clock.now().isoformat(),
            result_hash=journals.hash_result(status, _decoded(record), _decoded(payload), error),
            record=record,
            payload=payload,
            error=f"{error.code}: {error.message}" if error else None,
        )
        future = self.journal.end(ended, work.start, started_at)
        future.add_done_callback(lambda written: self._ended(work, ended, written))

    def _ended(self, work: _Work, ended: Ended, written: Future[None]) -> None:
        failed = written.exception()
        if failed is None:
            reach("ended")
            spans.event(work.start.name, "journal", work.sent.traceparent, task=ended.task_id, status=ended.status)
            self._send(work, ended)
        else:
            if not isinstance(failed, JournalClosed):
                log.error("task %s could not be journalled: %s", ended.task_id, failed)
            self._give_back(work)

    def _send(self, work: _Work, ended: Ended) -> None:
        error = journals.split_error(ended.error)
        outcome = Outcome(
            task_id=UUID(ended.task_id),
            run_id=UUID(ended.run_id),
            subject=work.sent.subject,
            status=ended.status,
            completed_at=datetime.fromisoformat(ended.completed_at),
            record=_decoded(ended.record),
            payload=_decoded(ended.payload),
            error=TaskError(**error) if error else None,
        )
        self._forget(work)
        self.done(work.delivery, [answer(work.sent, outcome)], leased=True)


def _decoded(text: str | None) -> Any:
    return None if text is None else msgspec.json.decode(text)


def _storable(text: str) -> str:
    # A message for a person must not be what keeps the task from ending.
    return text.replace("\x00", "").encode("utf-8", "replace").decode()[:2000]


class HostConsumer(Consumer):
    """Runs an API service's queue and schedule functions on an event loop, with that service's pool."""

    def __init__(
        self,
        service: str,
        broker: Broker,
        calls: Mapping[str, Call],
        loop: asyncio.AbstractEventLoop,
        database: Database,
        *,
        together: int = 2,
    ) -> None:
        # More than run at once: their acks, and the fetch of the next, go by the batch.
        super().__init__(service, broker, together * 8)
        self._calls = dict(calls)
        self._loop = loop
        self._database = database
        self._together = asyncio.Semaphore(together)

    def take(self, deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            coroutine = self._handle(delivery)
            try:
                asyncio.run_coroutine_threadsafe(coroutine, self._loop)
            except RuntimeError:
                # The loop is closed: the host is going down, and the message goes back.
                coroutine.close()
                self.done(delivery, ack=False)

    async def _handle(self, delivery: Delivery) -> None:
        from shared.db import bind

        message = delivery.message
        name = message.actor_name
        try:
            sent = envelope(message)
        except msgspec.ValidationError as error:
            log.error("dropped a message for %s that no relay made: %s", name, error)
            self.done(delivery)
            return
        call = self._calls.get(name)
        if call is None and name != SETTLED:
            log.warning("%s has no function %s: its message goes back", self.service, name)
            self.later(1.0, lambda: self.done(delivery, ack=False))
            return
        trace.enter(sent.traceparent)
        tries = 0
        while True:
            try:
                async with self._together:
                    with bind(self._database):
                        sends = await self._run(sent, call, message)
            except asyncio.CancelledError:
                self.done(delivery, ack=False)
                raise
            except (Unavailable, psycopg.OperationalError, psycopg.InterfaceError) as away:
                # Kept, not acked: only an answer from the store ends it. The relay's copies meet the same.
                if self._stopping.is_set():
                    self.done(delivery, ack=False)
                    return
                log.info("%s waits: %s", name, away)
            except Exception:  # the outermost point of a function; the relay brings the task again
                log.exception("%s failed on task %s", name, sent.id)
                if tries >= 2:
                    self.done(delivery)
                    return
            else:
                self.done(delivery, sends)
                return
            await asyncio.sleep(min(0.2 * 2**tries, 2.0))
            tries += 1

    async def _run(
        self, sent: Envelope, call: Call | None, message: dramatiq.Message[Any]
    ) -> list[dramatiq.Message[Any]]:
        now = clock.now()
        run_id = new_id()
        if call is None:
            await self._settle(msgspec.convert(message.kwargs["outcome"], Outcome))
            return []
        task = Task(
            id=sent.id,
            run_id=run_id,
            subject=sent.subject,
            attempt=sent.attempt,
            deadline=now + timedelta(seconds=call.seconds),
            traceparent=trace.current(),
        )
        outcome = Outcome(sent.id, run_id, sent.subject, "success", now)
        name, kind = f"{self.service}/{message.actor_name}", "result" if sent.answer else "task"
        try:
            with tasks.running(task), spans.span(name, kind, task=str(sent.id)):
                result = await self._called(call, call.bind(message.kwargs))
            if isinstance(result, Result):
                record, payload = msgspec.to_builtins(result.record), msgspec.to_builtins(result.payload)
                outcome = msgspec.structs.replace(outcome, record=record, payload=payload)
        except TaskFailed as failed:
            if sent.answer:
                raise
            error = TaskError(failed.code, _storable(failed.message))
            outcome = msgspec.structs.replace(outcome, status="failure", error=error)
        if sent.answer:
            return []
        outcome = msgspec.structs.replace(outcome, completed_at=clock.now())
        if sent.reply is None and sent.service == self.service:
            await self._settle(outcome)
            return []
        return [answer(sent, outcome)]

    async def _called(self, call: Call, kwargs: dict[str, Any]) -> Any:
        if inspect.iscoroutinefunction(call.function):
            async with asyncio.timeout(call.seconds):
                return await call.function(**kwargs)
        return await asyncio.to_thread(call.function, **kwargs)

    async def _settle(self, outcome: Outcome) -> None:
        async with self._database.transaction() as conn:
            await tasks.settle(conn, outcome)

    def stop(self, grace: float) -> None:
        """Take nothing new, wait for what runs, give the rest back. Called off the event loop."""
        end = time.monotonic() + grace
        self.stop_fetching()
        while self._held and time.monotonic() < end - 1:
            time.sleep(0.02)
        self.finish_all(max(1.0, end - time.monotonic()))


class Background:
    """What runs beside an API service's HTTP functions: its relay and its queue and schedule functions."""

    def __init__(self, relay: Relay, consumer: HostConsumer, broker: Broker) -> None:
        self.relay = relay
        self.consumer = consumer
        self._broker = broker

    def trouble(self) -> list[str]:
        """What does not work just now, one sentence each."""
        return [said for said in (self.relay.trouble, self.consumer.trouble) if said]

    def stop(self, grace: float = 10.0) -> None:
        """Finish within `grace` seconds. Blocks: an event loop calls it through `asyncio.to_thread`."""
        self.relay.stop()
        self.consumer.stop(grace)
        self._broker.close()


def start_background(
    service: Service, loop: asyncio.AbstractEventLoop, database: Database, settings: Settings
) -> Background:
    """Start the relay and the queue and schedule functions of an API service inside its host.

    A broker that is away, or that may evict queues, is waited for: what is accepted meanwhile lies safe in the outbox.
    """
    from runtime.loader import load_queue_functions, load_schedules

    broker = Broker(settings.broker_redis_url)
    calls = {name: call_of(actor) for name, actor in load_queue_functions(service, broker).items()}
    schedules = load_schedules(service)
    for name, (_, function) in schedules.items():
        calls[name] = Call(function, _arguments(function), DEFAULT_LIMIT / 1000)
    relay = Relay(
        service.folder, settings.database_url, broker, {name: spec.every for name, (spec, _) in schedules.items()}
    )
    relay.on_disabled = partial(switch.turn, service)
    together = max(1, service.database.pool // 2)
    consumer = HostConsumer(service.folder, broker, calls, loop, database, together=together)
    _observe(consumer, broker)
    relay.start()
    consumer.start()
    return Background(relay, consumer, broker)


def _observe(consumer: Consumer, broker: Broker) -> None:
    def depth() -> float | None:
        try:
            return broker.depth(consumer.service)
        except (redis.RedisError, OSError):
            return None

    for name, help_text, read in (
        ("eco2_queue_depth", "Messages that wait in the broker", depth),
        ("eco2_tasks_held", "Messages fetched and not acked", lambda: consumer.held),
        ("eco2_tasks_finished_total", "Messages acked", lambda: consumer.finished),
    ):
        telemetry.gauges.add(name, help_text, read, service=consumer.service)


def reach(point: str) -> None:
    """A named point of a run's way; tests/faults kills a process at one through `at`."""
    if at is not None:
        at(point)


at: Callable[[str], None] | None = None


def use_parts(service: Service, settings: Settings) -> None:
    """Give the process what its functions reach through `shared`: objects, other services, progress."""
    from shared import calls as calling
    from shared import objects, progress
    from shared.redis import connect

    calling.use(calling.Calls(settings.urls()))
    if "objects" in service.uses:
        objects.use(objects.ObjectStore(settings))
    if "broker" in service.uses:
        progress.use(progress.Publisher(connect(settings.broker_redis_url)))


def main(argv: Sequence[str] | None = None) -> int:
    """Run one worker until SIGTERM or SIGINT; the exit code is 2 when it can't start, with one line that says why."""
    from runtime.loader import LoadError
    from runtime.services import ServiceError, find, seconds
    from shared.settings import SettingsError, read

    arguments = list(sys.argv[1:] if argv is None else argv)
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m runtime.worker SERVICE\n")
        return 2
    try:
        service = find(arguments[0])
        settings = read(
            os.environ,
            service=service.folder,
            database_env=None if service.is_worker else service.database.env,
            uses=service.uses,
            required=[*service.secrets.required, *(["JOURNAL_PATH"] if service.is_worker else [])],
        )
        telemetry.configure(service.folder, settings.log_format, settings.log_level)
        spans.configure(service.folder)
        grace = seconds(service.run.grace) - 2
        if service.is_worker:
            return _work(service, settings, grace)
        return asyncio.run(_host(service, settings, grace))
    except (ServiceError, SettingsError, LoadError, JournalUnusable, BrokerUnfit) as error:
        sys.stderr.write(f"{arguments[0]}: {error}\n")
        return 2


def _until_told() -> threading.Event:
    told = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told.set())
    return told


def _work(service: Service, settings: Settings, grace: float) -> int:
    from runtime.health import HealthServer
    from runtime.loader import load_queue_functions

    told = _until_told()
    # The dead life of this worker may hold the file for a moment more.
    journal = Journal(Path(settings.journal_path), wait=5)
    broker = Broker(settings.broker_redis_url, consumer=f"{service.folder}-{journal.worker_id}")
    with contextlib.suppress(redis.RedisError, OSError):
        broker.life()
    use_parts(service, settings)
    calls = {name: call_of(actor) for name, actor in load_queue_functions(service, broker).items()}
    worker = Worker(service.folder, broker, journal, calls, threads=service.run.threads)
    journal.forget_payloads()
    _observe(worker, broker)
    for name, help_text, read in (
        ("eco2_journal_commits_total", "Commits of the journal", lambda: journal.commits),
        ("eco2_journal_stalled_seconds", "How long the commit under way has taken", journal.stalled),
        ("eco2_journal_failing", "1 while the journal can't be written", lambda: float(bool(journal.trouble))),
        ("eco2_function_over_limit_seconds", "How long a function is over its time limit", worker.limits.stuck),
    ):
        telemetry.gauges.add(name, help_text, read, service=service.folder)
    health = HealthServer(settings.host, settings.health_port, lambda: _health(worker))
    for said in journal.recovered:
        log.warning("%s", said)
    if sqlite3.sqlite_version_info < SQLITE_SOUND:
        log.info(
            "SQLite %s: before 3.51.3 two writers can corrupt a WAL, so a lock serialises them", sqlite3.sqlite_version
        )
    log.info("%s works: %s", service.name, ", ".join(sorted(calls)))
    worker.start()
    told.wait()
    log.info("%s stops", service.name)
    worker.stop(grace)
    health.close()
    broker.close()
    return 0


def _health(worker: Worker) -> dict[str, Any]:
    stuck = worker.limits.stuck()
    reasons = [said for said in (worker.trouble, worker.journal.trouble) if said]
    stalled = worker.journal.stalled()
    if stalled > 5:
        reasons.append(
            f"a commit of the journal has been under way for {stalled:.0f} s: is its syncer stopped in the lock?"
        )
    if stuck > 1:
        reasons.append(f"a function is {stuck:.0f} s over its time limit")
    return {
        "alive": stuck < STUCK,
        "ready": not worker.trouble and not worker.journal.trouble and stalled <= 5,
        "reasons": reasons,
        "recovered": worker.journal.recovered,
        "held": worker.held,
        "finished": worker.finished,
    }


async def _host(service: Service, settings: Settings, grace: float) -> int:
    from shared.db import Database

    use_parts(service, settings)
    database = Database(settings.database_url, size=service.database.pool, name=service.folder)
    await database.open()
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    background = start_background(service, loop, database, settings)
    await told.wait()
    await asyncio.to_thread(background.stop, grace)
    await database.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
