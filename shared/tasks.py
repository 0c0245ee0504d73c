"""Tasks: work accepted in a transaction and done elsewhere, exactly as surely as the transaction.

`enqueue` inserts a row into the `outbox` of the service's own schema and does nothing else: no network, no broker. After
the commit the relay publishes it, again and again, until the reply actor `settle`s it.
"""

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
    """What a function runs for. `deadline` is when the time limit ends the run."""

    id: UUID
    run_id: UUID
    subject: UUID
    attempt: int
    deadline: datetime
    traceparent: str = ""


async def enqueue(
    conn: Connection,
    message: Message,
    *,
    subject: UUID,
    reply: type[Outcome] | None = None,
    to: str = "",
    task_id: UUID | None = None,
    delay: float = 0,
) -> UUID:
    """Accept a task in the transaction of `conn`; return its id. A task id that is already under way is left as it is.

    Args:
        message: what is to be done; its class says by which function and how long that may take.
        subject: the id of the owner's row that the task is about.
        reply: the service's own Outcome class, whose function takes the outcome; without one the task just ends.
        to: the service's folder, where a message goes to functions of several (its `actor` begins with `*`).
        task_id: the task's id, where it is not a new one.
        delay: seconds until it is published first.
    """
    id_ = task_id or new_id()
    now = clock.now()
    actor = message.actor.replace("*", to, 1)
    await conn.execute(
        """
        INSERT INTO outbox (id, actor, message, reply, subject, traceparent, created_at, due_at, time_limit)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
        ON CONFLICT (id) DO NOTHING
        """,
        [
            id_,
            actor,
            Jsonb(msgspec.to_builtins(message)),
            reply.actor if reply else None,
            subject,
            trace.current() or None,
            now,
            now + timedelta(seconds=delay),
            timedelta(milliseconds=message.time_limit),
        ],
    )
    spans.event(actor, "enqueue", task=str(id_), subject=str(subject))
    # `shared.db.Database.transaction` wakes the relay after the commit when this is set.
    conn.enqueued = True  # type: ignore[attr-defined] # EcoConnection's own
    return id_


async def settle(conn: Connection, outcome: Outcome) -> bool:
    """End the task in the transaction that writes its outcome; return whether it was still open.

    False says that this outcome came a second time, or that the task was forgotten with its subject: look at the own row
    to tell the two apart, and delete what the task made only when that row is gone.
    """
    cursor = await conn.execute(
        """
        WITH gone AS (
            DELETE FROM outbox
            WHERE id = %s
            RETURNING id, actor, message, reply, subject, traceparent, created_at, time_limit, attempts, retries
        ), kept AS (
            INSERT INTO failed_tasks (id, actor, message, reply, subject, traceparent, created_at, time_limit, attempts,
                                      retries, error_code, error_message, failed_at)
            SELECT id, actor, message, reply, subject, traceparent, created_at, time_limit, attempts,
                   retries, %s, %s, %s
            FROM gone
            WHERE %s = 'failure'
            ON CONFLICT (id) DO NOTHING
        )
        SELECT count(*) FROM gone
        """,
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
        """
        WITH open   AS (DELETE FROM outbox       WHERE subject = ANY(%(subjects)s) RETURNING 1),
             failed AS (DELETE FROM failed_tasks WHERE subject = ANY(%(subjects)s) RETURNING 1)
        SELECT (SELECT count(*) FROM open) + (SELECT count(*) FROM failed)
        """,
        {"subjects": list(subjects)},
    )
    row = await cursor.fetchone()
    return int(row[0]) if row else 0
