"""A small delivery system for tests: an owner with an outbox, its relay and consumer, and a worker with a journal."""

import asyncio
import inspect
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import uvloop

from runtime.binding import Call
from runtime.delivery.background import HostConsumer
from runtime.delivery.broker import Broker
from runtime.delivery.relay import Relay
from runtime.delivery.working import Worker
from runtime.forms import Form
from runtime.journal.journal import Journal
from shared import clock, tasks
from shared.db import Database
from shared.ids import new_id
from shared.messages import Message, Outcome
from shared.tasks import Task
from shared.wake import Accepted


class Work(Message, frozen=True):
    """Something to do."""

    actor = "never/used"
    number: int = 0


def call(function: Callable[..., Any], seconds: float = 60.0, form: Form | None = None) -> Call:
    """A function as the runtime calls it; it names its message's `number`, the `outcome`, the `outcomes` or the `task`."""
    names = list(inspect.signature(function).parameters)
    form = form or Form(Outcome if {"outcome", "outcomes"} & set(names) else Work)

    def run(given: Any, task: Task) -> Any:
        known = {"outcome": given, "outcomes": given, "task": task, "number": getattr(given, "number", None)}
        return function(**{name: known[name] for name in names})

    return Call(run, form, seconds, inspect.iscoroutinefunction(function), "outcomes" in names)


def sending(actor: str, time_limit: float = 600.0) -> type[Work]:
    """The class of messages to some actor, whose function may run so many seconds."""
    return type("Work", (Work,), {"actor": actor, "time_limit": round(time_limit * 1000)}, frozen=True)


def replying(actor: str) -> type[Outcome]:
    """The class of outcomes that some function takes."""
    return type("Worked", (Outcome,), {"actor": actor}, frozen=True)


def accepted(actor: str) -> Accepted:
    """A task for that function, as its acceptance tells of it."""
    return Accepted(
        id=new_id(),
        actor=actor,
        message={"number": 1},
        reply=None,
        subject=new_id(),
        traceparent=None,
        created_at=clock.now(),
        time_limit=timedelta(seconds=60),
    )


def eventually(look: Callable[[], Any], what: str = "", seconds: float = 30.0) -> Any:
    """Wait until `look` answers something true, and return it."""
    end = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > end:
            raise AssertionError(f"it never came to this: {what or look}")
        time.sleep(0.01)
    return found


@contextmanager
def event_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop in a thread, like a host's."""
    loop = uvloop.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


class Owner:
    """An API service's part: outbox, relay and reply function. Keeps each outcome it settled by task id."""

    def __init__(self, dsn: str, broker_url: str, loop: asyncio.AbstractEventLoop, schema_service: str) -> None:
        self.name = schema_service
        self.loop = loop
        self.dsn = dsn
        self.outcomes: dict[UUID, Outcome] = {}
        self.answers = 0
        self.functions: dict[str, Call] = {"worked": call(self._worked), "all_worked": call(self._all_worked)}
        self.database = Database(dsn, size=4)
        self.wait(self.database.open())
        self.broker = Broker(broker_url)
        self.schedules: dict[str, float] = {}
        self.running = False

    def wait(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    def start(self) -> "Owner":
        self.relay = Relay(self.name, self.dsn, self.broker, self.schedules)
        self.consumer = HostConsumer(self.name, self.broker, self.functions, self.loop, self.database)
        self.relay.start()
        self.consumer.start()
        self.running = True
        return self

    def stop(self) -> None:
        self.running = False
        self.relay.stop()
        self.consumer.stop(5)

    def close(self) -> None:
        self.wait(self.database.close())
        self.broker.close()

    async def _worked(self, *, outcome: Outcome) -> None:
        async with self.database.transaction() as conn:
            self.answers += 1
            if await tasks.settle(conn, outcome):
                self.outcomes[outcome.task_id] = outcome

    async def _all_worked(self, *, outcomes: list[Outcome]) -> None:
        async with self.database.transaction() as conn:
            self.answers += len(outcomes)
            still_open = await tasks.settle_all(conn, outcomes)
        self.outcomes.update({outcome.task_id: outcome for outcome in outcomes if outcome.task_id in still_open})

    def enqueue(
        self,
        actor: str,
        *numbers: int,
        reply: bool = True,
        takes: str = "worked",
        time_limit: float = 600.0,
        **options: Any,
    ) -> list[UUID]:
        async def accept() -> list[UUID]:
            async with self.database.transaction() as conn:
                return [
                    await tasks.enqueue(
                        conn,
                        sending(actor, time_limit)(number),
                        subject=new_id(),
                        reply=replying(f"{self.name}/{takes}") if reply else None,
                        **options,
                    )
                    for number in numbers
                ]

        return self.wait(accept())  # type: ignore[no-any-return]  # `wait` is typed as Any

    def accept(self, *messages: Message) -> list[UUID]:
        """Enqueue messages of any class; the owner takes their outcomes."""

        async def accept() -> list[UUID]:
            async with self.database.transaction() as conn:
                reply = replying(f"{self.name}/worked")
                return [await tasks.enqueue(conn, message, subject=new_id(), reply=reply) for message in messages]

        return self.wait(accept())  # type: ignore[no-any-return]  # `wait` is typed as Any

    def ask_again(self, task_id: UUID) -> None:
        """Let the relay publish a task now that it would publish later."""
        with psycopg.connect(self.dsn) as conn:
            conn.execute("UPDATE outbox SET due_at = created_at WHERE id = %s", [task_id])
        self.relay.wake()

    def outbox(self) -> int:
        with psycopg.connect(self.dsn) as conn:
            row = conn.execute("SELECT count(*) FROM outbox").fetchone()
            assert row is not None
            return int(row[0])

    def clear(self) -> None:
        with psycopg.connect(self.dsn) as conn:
            conn.execute("DELETE FROM outbox")
            conn.execute("DELETE FROM failed_tasks")
            conn.execute("DELETE FROM schedule_slots")


@contextmanager
def worker(broker_url: str, folder: Path, queue: str, functions: dict[str, Call], **options: Any) -> Iterator[Worker]:
    """A worker that runs inside the block."""
    journal = Journal(folder / f"{queue}.db")
    broker = Broker(broker_url, consumer=f"{queue}-{journal.worker_id}")
    running = Worker(queue, broker, journal, functions, **options)
    running.start()
    try:
        yield running
    finally:
        running.stop(10)
        broker.close()
