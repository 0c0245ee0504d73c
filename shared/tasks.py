"""Tasks: work accepted in a transaction and done elsewhere, exactly as surely as the transaction.

`enqueue` inserts a row into the `outbox` of the service's own schema and does nothing else: no network, no broker. After
the commit the relay publishes it, again and again, until the reply actor `settle`s it.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from msgspec import Struct

from shared import clock, spans, trace, wake
from shared.db import Connection
from shared.ids import new_id
from shared.messages import Message, Outcome
from shared.together import Unit, insert, later
from shared.wake import Accepted


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


class _Row(Accepted, kw_only=True):
    """A row of the outbox as it is written."""

    due_at: datetime


_ACCEPT = """
INSERT INTO outbox (id, actor, message, reply, subject, traceparent, created_at, due_at, time_limit, person)
SELECT id, actor, message, reply, subject, traceparent, created_at, due_at, time_limit, person
  FROM json_to_recordset(%s)
    AS given (id uuid, actor text, message jsonb, reply text, subject uuid, traceparent text, created_at timestamptz,
              due_at timestamptz, time_limit interval, person text)
    ON CONFLICT (id) DO NOTHING
RETURNING id
"""


async def enqueue(
    conn: Connection | Unit,
    message: Message,
    *,
    subject: UUID,
    reply: type[Outcome] | None = None,
    to: str = "",
    task_id: UUID | None = None,
    delay: float = 0,
    person: str | None = None,
) -> UUID:
    """Accept a task in the transaction of `conn`, or in a unit; return its id. One that is already under way is left as it is.

    Args:
        message: what is to be done; its class says by which function and how long that may take.
        subject: the id of the owner's row that the task is about.
        reply: the service's own Outcome class, whose function takes the outcome; without one the task just ends.
        to: the service's folder, where a message goes to functions of several (its `actor` begins with `*`).
        task_id: the task's id, where it is not a new one.
        delay: seconds until it is published first.
        person: whose task it is, under a name that does not say who (`shared.spend.spender`): a queue that many wait in
            serves them in turn, so that one's fifty tasks do not make another wait.
    """
    # `shared.db.Database.transaction` hands it to the relay of this process after the commit.
    handed: list[Any] | None = None if delay else getattr(conn, "accepted", None)
    now = clock.now()
    task = _Row(
        id=task_id or new_id(),
        actor=message.actor.replace("*", to, 1),
        message=msgspec.to_builtins(message),
        reply=reply.actor if reply else None,
        subject=subject,
        traceparent=trace.current() or None,
        created_at=now,
        due_at=now + (timedelta(seconds=delay) if handed is None else wake.HANDED),
        time_limit=timedelta(milliseconds=message.time_limit),
        person=person,
    )
    row = await insert(conn, _ACCEPT, task.id, task)
    spans.event(task.actor, "enqueue", task=str(task.id), subject=str(subject))
    if handed is None:
        conn.enqueued = True  # type: ignore[union-attr] # EcoConnection's own
    else:
        handed.append((row, task))
    return task.id


_SETTLE = """
WITH gone AS (
    DELETE FROM outbox
     WHERE id = ANY(%(ids)s)
    RETURNING id, actor, message, reply, subject, traceparent, created_at, time_limit, attempts, retries),
kept AS (
    INSERT INTO failed_tasks (id, actor, message, reply, subject, traceparent, created_at, time_limit, attempts,
                              retries, error_code, error_message, failed_at)
    SELECT gone.id, actor, message, reply, subject, traceparent, created_at, time_limit, attempts,
           retries, failed.code, failed.words, %(now)s
      FROM gone
      JOIN unnest(%(failed)s::uuid[], %(codes)s::text[], %(words)s::text[]) AS failed (id, code, words)
        ON failed.id = gone.id
        ON CONFLICT (id) DO NOTHING)
SELECT id FROM gone
"""


async def settle(conn: Connection, outcome: Outcome) -> bool:
    """End the task in the transaction that writes its outcome; return whether it was still open.

    False says that this outcome came a second time, or that the task was forgotten with its subject: look at the own row
    to tell the two apart, and delete what the task made only when that row is gone.
    """
    return bool(await settle_all(conn, [outcome]))


async def settle_later(conn: Connection, outcome: Outcome) -> None:
    """`settle` together with the next statement, or with COMMIT: where it makes no difference whether the task was open."""
    await later(conn, _SETTLE, _ends([outcome]))


async def settle_all(conn: Connection, outcomes: Sequence[Outcome]) -> set[UUID]:
    """`settle` for many at the price of one statement; return the ids of the tasks that were still open."""
    cursor = await conn.execute(_SETTLE, _ends(outcomes))
    return {id_ for (id_,) in await cursor.fetchall()}


def _ends(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The parameters of _SETTLE."""
    failures = [one for one in outcomes if one.status == "failure"]
    return {
        # In any order: the index takes a list's ids in its own, so of two transactions neither waits for the other.
        "ids": [one.task_id for one in outcomes],
        "failed": [one.task_id for one in failures],
        "codes": [one.error.code if one.error else None for one in failures],
        "words": [one.error.message if one.error else None for one in failures],
        # By this clock: one that a worker's wrong clock dates a week back would be swept away before anybody saw it.
        "now": clock.now(),
    }


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
