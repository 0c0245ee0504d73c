"""Tasks: work accepted in a transaction and done elsewhere, exactly as surely as the transaction.

`enqueue` inserts a row into the `outbox` of the service's own schema and does nothing else: no network, no broker. After
the commit the relay publishes it, again and again, until the reply actor `settle`s it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from msgspec import Struct
from psycopg.types.json import Jsonb

from shared import clock, spans, trace
from shared.db import Connection
from shared.ids import new_id
from shared.messages import Message, Outcome

# How long a function may run when neither its message nor the caller says otherwise: Dramatiq's own default.
TIME_LIMIT = timedelta(minutes=10)


class Result(Struct, frozen=True):
    """How a worker's function ends well.

    `record` (ids, codes, numbers) is kept in `tasks`, where operators read it; `payload` (a person's content) reaches the
    owner alone and is forgotten by the worker within a day.
    """

    record: Any = None
    payload: Any = None


class TaskFailed(Exception):
    """The task can't succeed: `code` is kebab-case for programs, `message` one sentence for the person."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        self.message = message
        super().__init__(f"{code}: {message}")


class Task(Struct, frozen=True):
    """The task that this function runs for. `deadline` is when the time limit ends the run."""

    id: UUID
    run_id: UUID
    subject: UUID
    attempt: int
    deadline: datetime
    traceparent: str = ""


_current: ContextVar[Task] = ContextVar("task")


def current() -> Task:
    """The task now running in this thread or coroutine.

    Raises:
        LookupError: outside of a queue function.
    """
    return _current.get()


@contextmanager
def running(task: Task) -> Iterator[None]:
    """Make `task` the answer of `current()` inside the block; the runtime (and a test) calls it."""
    token = _current.set(task)
    try:
        yield
    finally:
        _current.reset(token)


async def enqueue(
    conn: Connection,
    message: Message,
    *,
    subject: UUID,
    reply: str | None = None,
    actor: str | None = None,
    task_id: UUID | None = None,
    delay: float = 0,
    time_limit: timedelta | None = None,
) -> UUID:
    """Accept a task in the transaction of `conn`; return its id. A task id that is already under way is left as it is.

    Args:
        message: the keyword arguments of the actor that its class names.
        subject: the id of the owner's row that the task is about.
        reply: "folder/function" of the own service's actor that takes the Outcome; without one the task just ends.
        actor: another actor than the message's class names.
        delay: seconds until it is published first.
        time_limit: the function's time limit, where it is not the message's `time_limit` in milliseconds or ten minutes:
            after it, and an allowance for the queue, a task without an answer is published again.
    """
    id_ = task_id or new_id()
    now = clock.now()
    limit = time_limit or timedelta(milliseconds=message.time_limit)
    await conn.execute(
        "INSERT INTO outbox (id, actor, message, reply, subject, traceparent, created_at, due_at, time_limit)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (id) DO NOTHING",
        [
            id_,
            actor or message.actor,
            Jsonb(msgspec.to_builtins(message)),
            reply,
            subject,
            trace.current() or None,
            now,
            now + timedelta(seconds=delay),
            limit,
        ],
    )
    spans.event(actor or message.actor, "enqueue", task=str(id_), subject=str(subject))
    # `shared.db.Database.transaction` wakes the relay after the commit when this is set.
    conn.enqueued = True  # type: ignore[attr-defined]
    return id_


async def settle(conn: Connection, outcome: Outcome) -> bool:
    """End the task in the transaction that writes its outcome; return whether it was still open.

    False says that this outcome came a second time, or that the task was forgotten with its subject: look at the own row
    to tell the two apart, and delete what the task made only when that row is gone.
    """
    cursor = await conn.execute(
        "WITH gone AS (DELETE FROM outbox WHERE id = %s RETURNING id, actor, message, reply, subject, traceparent,"
        " created_at, time_limit, attempts, retries), kept AS (INSERT INTO failed_tasks (id, actor, message, reply,"
        " subject, traceparent, created_at, time_limit, attempts, retries, error_code, error_message, failed_at)"
        " SELECT id, actor, message, reply, subject, traceparent, created_at, time_limit, attempts, retries, %s, %s, %s"
        " FROM gone WHERE %s = 'failure' ON CONFLICT (id) DO NOTHING) SELECT count(*) FROM gone",
        [
            outcome.task_id,
            outcome.error.code if outcome.error else None,
            outcome.error.message if outcome.error else None,
            # By this clock: one that a worker's wrong clock dates a week back would be swept away before anybody saw it.
            clock.now(),
            outcome.status,
        ],
    )
    row = await cursor.fetchone()
    return row is not None and row[0] > 0


async def forget(conn: Connection, *subjects: UUID) -> int:
    """Drop the tasks of rows that are being deleted, failed ones too, with what their messages hold; return how many.

    A result that still comes for one of them finds its row gone.
    """
    cursor = await conn.execute(
        "WITH a AS (DELETE FROM outbox WHERE subject = ANY(%s) RETURNING 1),"
        " b AS (DELETE FROM failed_tasks WHERE subject = ANY(%s) RETURNING 1)"
        " SELECT (SELECT count(*) FROM a) + (SELECT count(*) FROM b)",
        [list(subjects), list(subjects)],
    )
    row = await cursor.fetchone()
    return int(row[0]) if row else 0
