"""What runs beside an API service's HTTP functions: its relay, and its queue and schedule functions on the host's loop.

There the transaction that writes the outcome and settles the outbox row is what makes a task end once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import dramatiq
import msgspec
import psycopg
from msgspec import Struct

from runtime.binding import Call, bind_queue, bind_schedule
from runtime.delivery.broker import Broker, Delivery
from runtime.delivery.consumer import Consumer, log, observe
from runtime.delivery.envelope import SETTLED, Envelope, envelope, outcome_message, storable
from runtime.delivery.limits import within
from runtime.delivery.relay import Relay
from runtime.forms import Form, Refused
from runtime.http import switch
from shared import clock, spans, tasks, trace
from shared.errors import Unavailable
from shared.ids import new_id
from shared.messages import Outcome, TaskError
from shared.tasks import Result, Task, TaskFailed

if TYPE_CHECKING:
    from runtime.services import Service
    from shared.db import Database
    from shared.settings import Settings


# How often a function that meets something away, other than its database, is tried before the relay has its task again.
TRIES = 8
# Reads the outcome of a task that no function takes it of.
_OUTCOME = Form(Outcome)


class HostConsumer(Consumer):
    """Runs an API service's queue and schedule functions on an event loop, with that service's pool."""

    def __init__(
        self,
        service: str,
        broker: Broker,
        functions: Mapping[str, Call],
        loop: asyncio.AbstractEventLoop,
        database: Database,
        *,
        together: int = 2,
    ) -> None:
        # More than run at once: their acks, and the fetch of the next, go by the batch, and so do outcomes that are settled
        # many at a time.
        super().__init__(service, broker, together * 32)
        self._functions = dict(functions)
        self._loop = loop
        self._database = database
        self._together = asyncio.Semaphore(together)

    def take(self, deliveries: list[Delivery]) -> None:
        groups: list[list[_Given]] = []
        together: dict[str, list[_Given]] = {}
        for delivery in deliveries:
            given = self._read(delivery)
            if given is None:
                continue
            if given.sent.is_outcome and (given.call is None or given.call.many):
                group = together.setdefault(delivery.message.actor_name, [])
                group.append(given)
                if len(group) > 1:
                    continue
            else:
                group = [given]
            groups.append(group)
        for group in groups:
            coroutine = self._handle(group)
            try:
                asyncio.run_coroutine_threadsafe(coroutine, self._loop)
            except RuntimeError:
                # The loop is closed: the host is going down, and the messages go back.
                coroutine.close()
                self._all_done(group, ack=False)

    def _read(self, delivery: Delivery) -> _Given | None:
        """What its function is given; None where nothing can be done with it now."""
        message = delivery.message
        name = message.actor_name
        try:
            sent = envelope(message)
        except msgspec.ValidationError as error:
            log.error("dropped a message for %s that no relay made: %s", name, error)
            self.done(delivery)
            return None
        call = self._functions.get(name)
        if call is None and name != SETTLED:
            log.warning("%s has no function %s: its message goes back", self.service, name)
            self.later(1.0, lambda: self.done(delivery, ack=False))
            return None
        try:
            given = call.read(message.kwargs) if call else _OUTCOME.read(message.kwargs.get("outcome", {}))
        except Refused as refused:
            self.refuse(delivery, sent.id, refused)
            return None
        return _Given(delivery, sent, call, given)

    async def _handle(self, group: list[_Given]) -> None:
        """Run one, or many outcomes of one function together; many with which something is wrong are run one by one."""
        tries = 0
        name = group[0].delivery.message.actor_name
        if len(group) == 1:
            trace.enter(group[0].sent.traceparent)
        while True:
            try:
                async with self._together:
                    sends = await self._run(group)
            except asyncio.CancelledError:
                self._all_done(group, ack=False)
                raise
            except (Unavailable, psycopg.OperationalError, psycopg.InterfaceError) as away:
                if self._stopping.is_set():
                    self._all_done(group, ack=False)
                    return
                if len(group) > 1 and tries >= 2:
                    await self._one_by_one(group)
                    return
                log.info("%s waits: %s", name, away)
                # Without the database nothing else could be done here: kept until it answers. Something else that is away,
                # or a statement that this database never finishes in time, must not hold up the outcomes behind it, and
                # the relay brings the task again.
                if tries >= TRIES and (_elsewhere(away) or await self._database.ready()):
                    log.warning("%s put off %s", name, _tasks(group))
                    self._all_done(group)
                    return
            except Exception:  # noqa: BLE001 - the outermost point of a function; the relay brings the task again
                if len(group) > 1:
                    await self._one_by_one(group)
                    return
                log.exception("%s failed on %s", name, _tasks(group))
                if tries >= 2:
                    self._all_done(group)
                    return
            else:
                self.done(group[0].delivery, sends)
                self._all_done(group[1:])
                return
            await asyncio.sleep(min(0.2 * 2**tries, 2.0))
            tries += 1

    async def _one_by_one(self, group: list[_Given]) -> None:
        for one in group:
            await self._handle([one])

    def _all_done(self, group: list[_Given], *, ack: bool = True) -> None:
        for one in group:
            self.done(one.delivery, ack=ack)

    async def _run(self, group: list[_Given]) -> list[dramatiq.Message[Any]]:
        """What is to be sent when it is done."""
        now, run_id = clock.now(), new_id()
        sent, call, given = group[0].sent, group[0].call, group[0].given
        function = group[0].delivery.message.actor_name
        if call is None:
            with spans.span(f"{self.service}/settled", "result", task=str(sent.id)):
                await self._settle(*(one.given for one in group))
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
        name, kind = f"{self.service}/{function}", "result" if sent.is_outcome else "task"
        try:
            with spans.span(name, kind, task=str(sent.id)):
                async with within(call.seconds):
                    result = await call.run([one.given for one in group] if call.many else given, task)
            if isinstance(result, Result):
                record, payload = msgspec.to_builtins(result.record), msgspec.to_builtins(result.payload)
                outcome = msgspec.structs.replace(outcome, record=record, payload=payload)
        except TaskFailed as failed:
            if sent.is_outcome:
                raise
            error = TaskError(failed.code, storable(failed.message))
            outcome = msgspec.structs.replace(outcome, status="failure", error=error)
        if sent.is_outcome:
            return []
        outcome = msgspec.structs.replace(outcome, completed_at=clock.now())
        if sent.reply is None and sent.service == self.service:
            await self._settle(outcome)
            return []
        return [outcome_message(sent, msgspec.to_builtins(outcome))]

    async def _settle(self, *outcomes: Outcome) -> None:
        async with self._database.transaction() as conn:
            await tasks.settle_all(conn, outcomes)

    def stop(self, grace: float) -> None:
        """Take nothing new, wait for what runs, give the rest back. Called off the event loop."""
        end = time.monotonic() + grace
        self.stop_fetching()
        while self._held and time.monotonic() < end - 1:
            time.sleep(0.02)
        self.finish_all(max(1.0, end - time.monotonic()))


class _Given(Struct):
    """A message in the host's hands: `given` is what its function takes; without `call` the runtime settles it itself."""

    delivery: Delivery
    sent: Envelope
    call: Call | None
    given: Any


def _tasks(group: list[_Given]) -> str:
    return f"task {group[0].sent.id}" + (f" and {len(group) - 1} more" if group[1:] else "")


def _elsewhere(away: Exception) -> bool:
    return isinstance(away, Unavailable) and away.part != "database"


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


def start_background(service: Service, loop: asyncio.AbstractEventLoop, parts: Mapping[Any, Any]) -> Background:
    """Start the relay and the queue and schedule functions of an API service inside its host.

    A broker that is away, or that may evict queues, is waited for: what is accepted meanwhile lies safe in the outbox.

    Raises:
        LoadError: a function can't be loaded or bound.
    """
    from runtime.loader import LoadError, load_queue_functions, load_schedules

    settings: Settings = parts["settings"]
    broker = Broker(settings.broker_redis_url)
    functions = {name: bind_queue(actor, parts) for name, actor in load_queue_functions(service, broker).items()}
    schedules = load_schedules(service)
    for name, (_, function) in schedules.items():
        functions[name] = bind_schedule(function, parts)
    for name, call in functions.items():
        if not call.asynchronous:
            raise LoadError(
                f"functions/{service.folder}/{name}.py: it runs on its host's event loop: make it `async def`"
            )
    relay = Relay(
        service.folder, settings.database_url, broker, {name: spec.every for name, (spec, _) in schedules.items()}
    )
    relay.on_disabled = partial(switch.turn, service)
    together = max(1, service.database.pool // 2)
    consumer = HostConsumer(service.folder, broker, functions, loop, parts["db"], together=together)
    observe(consumer, broker, functions)
    relay.start()
    consumer.start()
    return Background(relay, consumer, broker)
