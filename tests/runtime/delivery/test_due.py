"""Which rows of the outbox each of the relay's statements moves, and which it leaves alone"""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from runtime.delivery import outbox
from shared import clock
from shared.ids import new_id
from shared.wake import HANDED

LIFE = "this life"
NOW = clock.now()
LIMIT = timedelta(seconds=60)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
Connection = psycopg.Connection[Any]


@pytest.fixture
def conn(environment: dict[str, str]) -> Iterator[Connection]:
    """An outbox in a transaction that leaves nothing."""
    with psycopg.connect(environment["API_RECYCLE_DB_URL"]) as made:
        for table in ("outbox", "failed_tasks", "idempotency"):
            made.execute(f"DELETE FROM {table}")
        yield made
        made.rollback()


def insert(conn: Connection, **given: Any) -> UUID:
    row = {
        "id": new_id(),
        "actor": "x/act",
        "reply": None,
        "attempts": 1,
        "published_to": LIFE,
        "created_at": NOW - HOUR,
        "due_at": NOW + HOUR,
        "limit": LIMIT,
    } | given
    conn.execute(
        """
        INSERT INTO outbox (id, actor, message, reply, subject, created_at, due_at, time_limit, attempts, published_to)
        VALUES (%(id)s, %(actor)s, '{}', %(reply)s, %(id)s, %(created_at)s, %(due_at)s, %(limit)s, %(attempts)s,
                %(published_to)s)
        """,
        row,
    )
    id_: UUID = row["id"]
    return id_


def due(conn: Connection, id_: UUID) -> datetime:
    row = conn.execute("SELECT due_at FROM outbox WHERE id = %s", [id_]).fetchone()
    assert row is not None
    found: datetime = row[0]
    return found


Statement = Callable[[Connection], None]
LOST: Statement = lambda conn: outbox.publish_lost(conn, NOW, LIFE)  # noqa: E731 - a table's entry
ENABLED: Statement = lambda conn: outbox.publish_enabled(conn, NOW, ["x/on", "x/answered"])  # noqa: E731 - a table's entry
MENDED: Statement = lambda conn: outbox.mend_times(conn, NOW)  # noqa: E731 - a table's entry
FURTHEST = outbox.LONGEST + outbox.ALLOWANCE


@pytest.mark.parametrize(
    ("statement", "row", "moves"),
    [
        (LOST, {"published_to": "another"}, True),
        (LOST, {"published_to": LIFE}, False),
        (LOST, {"published_to": None}, False),
        (LOST, {"published_to": "another", "due_at": NOW - HOUR}, False),
        (ENABLED, {"actor": "x/on"}, True),
        (ENABLED, {"reply": "x/answered"}, True),
        (ENABLED, {"actor": "x/other", "reply": "x/nothing"}, False),
        (ENABLED, {"actor": "x/on", "published_to": None}, False),
        (MENDED, {"attempts": 0, "created_at": NOW + DAY, "due_at": NOW + DAY + HANDED}, True),
        (MENDED, {"attempts": 0, "created_at": NOW - HOUR, "due_at": NOW + DAY}, False),
        (MENDED, {"attempts": 0, "created_at": NOW + DAY, "due_at": NOW + DAY + HOUR}, False),
        (MENDED, {"attempts": 1, "due_at": NOW + FURTHEST + timedelta(seconds=1)}, True),
        (MENDED, {"attempts": 1, "due_at": NOW + FURTHEST}, False),
        (MENDED, {"attempts": 1, "limit": HOUR, "due_at": NOW + HOUR + outbox.ALLOWANCE}, False),
    ],
)
def test_a_row_is_due_at_once_for_its_reason_alone(
    conn: Connection, statement: Statement, row: dict[str, Any], moves: bool
) -> None:
    id_ = insert(conn, **row)
    before = due(conn, id_)
    statement(conn)
    assert due(conn, id_) == (NOW if moves else before)


@pytest.mark.parametrize(
    ("row", "noted"),
    [
        ({"attempts": 0, "published_to": None, "due_at": NOW - HOUR + HANDED}, True),
        ({"attempts": 0, "published_to": None, "due_at": NOW}, False),
        ({"attempts": 1, "published_to": "another", "due_at": NOW - HOUR + HANDED}, False),
    ],
    ids=["handed over", "put to now by an operator", "taken by another relay"],
)
def test_what_was_handed_over_is_noted_as_published_once(conn: Connection, row: dict[str, Any], noted: bool) -> None:
    id_ = insert(conn, **row)
    outbox.confirm(conn, LIFE, [id_])
    found = conn.execute("SELECT attempts, published_to, due_at FROM outbox").fetchone()
    as_it_was = (row["attempts"], row["published_to"], row["due_at"])
    assert found == ((1, LIFE, NOW - HOUR + LIMIT + outbox.ALLOWANCE) if noted else as_it_was)


def test_failures_are_kept_for_a_week_and_keys_for_as_long_as_they_count(conn: Connection) -> None:
    moment = timedelta(seconds=1)
    for failed_at in (NOW - 7 * DAY - moment, NOW - 7 * DAY + moment):
        conn.execute(
            """
            INSERT INTO failed_tasks (id, actor, message, subject, created_at, time_limit, attempts, retries, failed_at)
            VALUES (%(id)s, 'x/act', '{}', %(id)s, %(at)s, '60 s', 1, 0, %(at)s)
            """,
            {"id": new_id(), "at": failed_at},
        )
    for created_at in (NOW - HOUR - moment, NOW - HOUR + moment):
        conn.execute(
            """
            INSERT INTO idempotency (user_id, scope, key, body_hash, status, headers, created_at)
            VALUES (%s, 'x', 'x', '', 200, '{}', %s)
            """,
            [new_id(), created_at],
        )
    outbox.sweep(conn, NOW, HOUR)
    assert conn.execute("SELECT failed_at FROM failed_tasks").fetchall() == [(NOW - 7 * DAY + moment,)]
    assert conn.execute("SELECT created_at FROM idempotency").fetchall() == [(NOW - HOUR + moment,)]
