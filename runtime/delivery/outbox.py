"""The outbox of a service in PostgreSQL, as its relay sees it. Every statement reads what it changes and little else, however
many rows wait: in batches, through an index, and with counts that end somewhere (`tests/runtime/delivery/test_outbox.py`).
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
from msgspec import Struct
from psycopg.rows import class_row

from shared import wake
from shared.wake import Accepted

# A message may wait that long in a queue, beyond the function's own time limit, before it counts as lost.
ALLOWANCE = timedelta(seconds=30)
LONGEST = timedelta(minutes=15)
# What is due for longer than this is late: a backlog, or what is published again after a while. Long enough for what was handed
# to a relay that had no place for it, or died: it must not wait behind yesterday's.
FRESH = timedelta(seconds=15)
FAILED_KEPT = timedelta(days=7)

Connection = psycopg.Connection[Any]


class Row(Accepted, kw_only=True):
    """An outbox row on its way. `late`: it has been due for a while."""

    attempts: int = 1
    retries: int = 0
    late: bool = False


class State(Struct, frozen=True):
    """Tasks accepted and not yet answered (up to 10,000), the age of the oldest in seconds, and how many of them were published
    three times or more (up to 10,000)."""

    depth: int
    oldest: float
    retried: int


# Asked before `_TAKE`, whose plan and all that it looks up take 1.2 MB of the relay's process in PostgreSQL: with most services
# there is nothing most of the time.
_ANY = "SELECT FROM outbox ORDER BY id LIMIT 1"
# Limits are numbers in the text: the plan for any values, which PostgreSQL makes after some calls, would think them large.
# Rows are changed where they were found, by their place: joined by id, PostgreSQL would rather read all of a large outbox.
# The actors one by one through the index, and of each so many of the longest due and so many of this moment: of the 2,000 that
# come first each person's first, then each one's second, and so on.
_TAKE = """
WITH RECURSIVE actors (actor) AS (
    (SELECT actor FROM outbox ORDER BY actor LIMIT 1)
     UNION ALL
    SELECT (SELECT o.actor FROM outbox AS o WHERE o.actor > a.actor ORDER BY o.actor LIMIT 1)
      FROM actors AS a
     WHERE a.actor IS NOT NULL),
queued (actor, queue) AS (
    SELECT actor, split_part(actor, '/', 1) || CASE WHEN actor = ANY(%(bulk)s::text[]) THEN '.bulk' ELSE '' END
      FROM actors
     WHERE actor IS NOT NULL AND actor <> ALL(%(disabled)s::text[])),
due AS MATERIALIZED (
    SELECT found.*
      FROM queued AS a
     CROSS JOIN LATERAL (
        SELECT * FROM (
            SELECT id, place, turn, due_at, true AS late
              FROM (SELECT id, ctid AS place, due_at, row_number() OVER (PARTITION BY person ORDER BY due_at) AS turn
                      FROM (SELECT id, ctid, due_at, person
                              FROM outbox
                             WHERE actor = a.actor AND due_at <= %(late)s
                               AND a.queue <> ALL(%(closed_late)s::text[])
                             ORDER BY due_at
                             LIMIT 2000) AS first_due) AS in_turn
             ORDER BY turn, due_at
             LIMIT 200) AS longest_due
         UNION ALL
        SELECT * FROM (
            SELECT id, place, turn, due_at, false
              FROM (SELECT id, ctid AS place, due_at, row_number() OVER (PARTITION BY person ORDER BY due_at) AS turn
                      FROM (SELECT id, ctid, due_at, person
                              FROM outbox
                             WHERE actor = a.actor AND due_at > %(late)s AND due_at <= %(now)s
                               AND a.queue <> ALL(%(closed)s::text[])
                             ORDER BY due_at
                             LIMIT 2000) AS first_due) AS in_turn
             ORDER BY turn, due_at
             LIMIT 200) AS of_this_moment) AS found
     LIMIT 2000),
-- What another relay is taking has another place by the time it lets go.
mine AS MATERIALIZED (
    SELECT o.ctid AS place
      FROM outbox AS o
     WHERE o.ctid = ANY(ARRAY(SELECT place FROM due))
       FOR UPDATE SKIP LOCKED),
taken AS (
    UPDATE outbox AS o
       SET attempts = o.attempts + 1,
           published_to = %(life)s,
           due_at = %(now)s + least((o.time_limit + %(allowance)s) * power(2, least(o.attempts, 20)),
                                    greatest(%(longest)s, o.time_limit + %(allowance)s))
     WHERE o.ctid = ANY(ARRAY(SELECT place FROM mine))
    RETURNING o.id, o.actor, o.message, o.reply, o.subject, o.traceparent, o.created_at, o.time_limit, o.person,
              o.attempts, o.retries)
SELECT t.id, t.actor, t.message::text AS message, t.reply, t.subject, t.traceparent, t.created_at, t.time_limit, t.person,
       t.attempts, t.retries, d.late
  FROM taken AS t
  JOIN due AS d USING (id)
 ORDER BY d.turn, d.due_at
"""
# What was handed to this relay and is published, and still open after a while. One that an operator has put to now is his.
_CONFIRM = """
UPDATE outbox AS o
   SET attempts = 1, published_to = %(life)s, due_at = o.created_at + o.time_limit + %(allowance)s
 WHERE o.id = ANY(%(ids)s) AND o.attempts = 0 AND o.due_at = o.created_at + %(handed)s
"""
_GIVE_BACK = """
UPDATE outbox
   SET due_at = created_at, attempts = greatest(attempts - 1, 0), published_to = NULL
 WHERE id = ANY(%s)
"""
# In steps of the key: one statement over all of a large backlog would not end within the role's time limit, and never succeed.
_WALK = """
WITH seen AS MATERIALIZED (
    SELECT id, ctid AS place FROM outbox WHERE id > %(after)s ORDER BY id LIMIT 2000),
changed AS (
    UPDATE outbox AS o
       SET due_at = %(now)s
     WHERE o.ctid = ANY(ARRAY(SELECT place FROM seen)) AND o.due_at > %(now)s AND ({which}))
SELECT id FROM seen ORDER BY id DESC LIMIT 1
"""
# Times that no right clock has written: a relay that was a day ahead, or whose host was, left its tasks lying for a day. What is
# accepted between `now` and this look is newer than `now`, and its own relay has it: taken here, it would go out twice.
_WRONG_TIME = """o.attempts = 0 AND o.created_at > %(now)s + %(handed)s AND o.due_at <= o.created_at + %(handed)s
    OR o.attempts > 0 AND o.due_at > %(now)s + greatest(%(longest)s, o.time_limit + %(allowance)s) + %(allowance)s"""
_ANOTHER_LIFE = "o.published_to IS NOT NULL AND o.published_to <> %(life)s"
_ENABLED = "o.published_to IS NOT NULL AND (o.actor = ANY(%(names)s) OR o.reply = ANY(%(names)s))"

_INSERT_SCHEDULED = """
WITH first AS (
    INSERT INTO schedule_slots (name, slot)
    VALUES (%(name)s, %(slot)s)
        ON CONFLICT (name) DO UPDATE
       SET slot = excluded.slot
        -- A slot from further on than the next is a wrong clock's, and would stop the schedule until then.
     WHERE schedule_slots.slot < excluded.slot OR schedule_slots.slot > excluded.slot + 1
    RETURNING slot)
INSERT INTO outbox (id, actor, message, subject, created_at, due_at, time_limit)
SELECT %(id)s, %(actor)s, '{}', %(id)s, %(now)s, %(now)s, %(limit)s
  FROM first
    -- One that has not run (disabled, stuck) counts for this one too: a bad night leaves one, not hundreds.
 WHERE (SELECT actor FROM outbox WHERE actor >= %(actor)s ORDER BY actor LIMIT 1) IS DISTINCT FROM %(actor)s
    ON CONFLICT (id) DO NOTHING
"""
# Ids are ordered by time but for a few that are made from names; those show among the retried ones before they are old.
_STATE = """
SELECT (SELECT count(*) FROM (SELECT FROM outbox LIMIT 10000) AS counted),
       least((SELECT created_at FROM outbox ORDER BY id LIMIT 1),
             (SELECT created_at FROM outbox WHERE attempts >= 3 ORDER BY created_at LIMIT 1)),
       (SELECT count(*) FROM (SELECT FROM outbox WHERE attempts >= 3 LIMIT 10000) AS counted)
"""
_DISABLED = "SELECT value FROM public.settings WHERE key = 'functions.disabled'"
_DROP_IDEMPOTENCY = """
DELETE FROM idempotency
 WHERE ctid = ANY(ARRAY(SELECT ctid FROM idempotency WHERE created_at < %s LIMIT 5000))
"""
_DROP_FAILED = """
DELETE FROM failed_tasks
 WHERE ctid = ANY(ARRAY(SELECT ctid FROM failed_tasks WHERE failed_at < %s LIMIT 5000))
"""


def take(
    conn: Connection,
    now: datetime,
    life: str,
    *,
    closed: Sequence[str] = (),
    closed_late: Sequence[str] = (),
    disabled: Sequence[str] = (),
    bulk: Iterable[str] = (),
) -> list[Row]:
    """Take due rows for publication: move `due_at` to the time of the next attempt, which doubles up to 15 minutes.

    At most 200 of this moment and 200 late ones of each actor, 2,000 in all.

    Args:
        closed: queues that take none of this moment; `closed_late` those that take no late ones.
        disabled: actors that are switched off; `bulk` those whose queue is the bulk one.
    """
    if conn.execute(_ANY).fetchone() is None:
        return []
    values = {
        "now": now,
        "late": now - FRESH,
        "life": life,
        "closed": list(closed),
        "closed_late": list(closed_late),
        "disabled": list(disabled),
        "bulk": list(bulk),
        "allowance": ALLOWANCE,
        "longest": LONGEST,
    }
    with conn.cursor(row_factory=class_row(Row)) as cursor:
        return cursor.execute(_TAKE, values).fetchall()


def give_back(conn: Connection, ids: Sequence[UUID]) -> None:
    """Undo `take`: the broker never had them."""
    conn.execute(_GIVE_BACK, [list(ids)])


def confirm(conn: Connection, life: str, ids: Sequence[UUID]) -> None:
    """Note that this life of the broker has these, which were handed over and published: what of them is still open is due
    again when it should have been answered."""
    conn.execute(_CONFIRM, {"life": life, "ids": list(ids), "allowance": ALLOWANCE, "handed": wake.HANDED})


def mend_times(conn: Connection, now: datetime) -> None:
    """Publish now what a wrong clock put off further than any right one does."""
    _walk(conn, _WRONG_TIME, {"now": now, "longest": LONGEST, "allowance": ALLOWANCE, "handed": wake.HANDED})


def publish_lost(conn: Connection, now: datetime, life: str) -> None:
    """Publish now what another life of the broker had."""
    _walk(conn, _ANOTHER_LIFE, {"now": now, "life": life})


def publish_enabled(conn: Connection, now: datetime, names: Sequence[str]) -> None:
    """Publish at `now` what was parked in the broker for these functions."""
    _walk(conn, _ENABLED, {"now": now, "names": list(names)})


def _walk(conn: Connection, which: str, values: dict[str, Any]) -> None:
    query = _WALK.replace("{which}", which)
    after: UUID | None = UUID(int=0)
    while after is not None:
        row = conn.execute(query, values | {"after": after}).fetchone()
        after = row[0] if row else None


def insert_scheduled(conn: Connection, id_: UUID, actor: str, slot: int, now: datetime, time_limit: timedelta) -> None:
    """Accept a schedule's task for a slot, once, whichever replica comes first."""
    values = {"id": id_, "actor": actor, "name": actor.partition("/")[2], "slot": slot, "now": now, "limit": time_limit}
    conn.execute(_INSERT_SCHEDULED, values)


def state(conn: Connection, now: datetime) -> State:
    """What waits for an answer."""
    row = conn.execute(_STATE).fetchone()
    assert row is not None, "a statement without FROM gives one row"
    depth, oldest, retried = row
    return State(depth, (now - oldest).total_seconds() if oldest else 0.0, retried)


def disabled(conn: Connection) -> list[str]:
    """Names ("folder/function") of what an operator switched off."""
    row = conn.execute(_DISABLED).fetchone()
    return [str(name) for name in row[0]] if row else []


def sweep(conn: Connection, now: datetime, idempotency_kept: timedelta) -> None:
    """Drop old idempotency keys and failures, a few thousand at a time."""
    conn.execute(_DROP_IDEMPOTENCY, [now - idempotency_kept])
    conn.execute(_DROP_FAILED, [now - FAILED_KEPT])
