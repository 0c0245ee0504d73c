"""The relay's statements read what they change and little else, however many rows wait, with generic plans, too."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

from runtime.delivery import outbox
from shared import clock

ROWS = 20_000
TABLES = ("outbox", "failed_tasks", "idempotency")


@pytest.fixture
def conn(environment: dict[str, str]) -> Iterator[psycopg.Connection[Any]]:
    """A backlog: most of it for two actors, a few rows for a third, some retried, and old rows beside it."""
    now = clock.now()
    with psycopg.connect(environment["API_RECYCLE_DB_URL"]) as made:
        made.execute("SET plan_cache_mode = force_generic_plan")
        for table in TABLES:
            made.execute(f"DELETE FROM {table}")
        made.execute(
            """
            INSERT INTO outbox (id, actor, message, subject, created_at, due_at, time_limit, attempts, published_to)
            SELECT gen_random_uuid(), (ARRAY['full/act', 'off/act', 'open/act'])[1 + (n %% 100 > 0)::int + (n %% 50)::int / 49],
                   '{}', gen_random_uuid(), %(now)s - interval '1 hour', %(now)s - make_interval(secs => n), '60 s',
                   CASE WHEN n %% 1000 = 0 THEN 3 ELSE 0 END, 'another'
              FROM generate_series(1, %(rows)s) AS n
            """,
            {"now": now, "rows": ROWS},
        )
        made.execute(
            """
            INSERT INTO idempotency (user_id, scope, key, body_hash, status, headers, created_at)
            SELECT gen_random_uuid(), 'x', n::text, '', 200, '{}', %s FROM generate_series(1, 5000) AS n
            """,
            [now],
        )
        for table in TABLES:
            made.execute(f"ANALYZE {table}")
        yield made
        made.rollback()


_TYPES = {datetime: "timestamptz", timedelta: "interval", str: "text", list: "text[]", UUID: "uuid", int: "bigint"}


class Watching(psycopg.Cursor[Any]):
    """Looks at the generic plan of what it executes, before that."""

    plans: ClassVar[list[str]] = []

    def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
        if isinstance(params, dict):
            names = list(params)
            text = query
            for number, name in enumerate(names, 1):
                text = text.replace(f"%({name})s", f"${number}")
            types = ", ".join(_TYPES[type(params[name])] for name in names)
            values = sql.SQL(", ").join(sql.Literal(params[name]) for name in names)
            with psycopg.Cursor(self.connection) as beside:
                beside.execute(f"PREPARE watched ({types}) AS {text}")
                found = beside.execute(sql.SQL("EXPLAIN (COSTS OFF) EXECUTE watched ({})").format(values)).fetchall()
                beside.execute("DEALLOCATE watched")
            Watching.plans.append("\n".join(line for (line,) in found))
        return super().execute(query, params, **options)


def statements(conn: psycopg.Connection[Any]) -> None:
    now = clock.now()
    outbox.take(conn, now, "life", closed=["full"], closed_late=["full"], disabled=["off/act"])
    outbox.give_back(conn, [])
    outbox.mend_times(conn, now)
    outbox.publish_lost(conn, now, "life")
    outbox.publish_enabled(conn, now, ["off/act"])
    outbox.insert_scheduled(conn, *_a_schedule(conn), now, timedelta(minutes=1))


def _a_schedule(conn: psycopg.Connection[Any]) -> Any:
    row = conn.execute("SELECT gen_random_uuid(), 'open/sweep', 7").fetchone()
    assert row is not None
    return row


def test_no_statement_of_the_relay_reads_the_whole_outbox(conn: psycopg.Connection[Any]) -> None:
    Watching.plans = []
    conn.cursor_factory = Watching
    statements(conn)
    assert len(Watching.plans) >= 20
    for plan in Watching.plans:
        assert "Seq Scan on" not in plan, plan


def test_a_turn_takes_late_rows_longest_due_first_and_leaves_full_queues_and_disabled_actors_alone(
    conn: psycopg.Connection[Any],
) -> None:
    now = clock.now()
    row = conn.execute("SELECT id, due_at FROM outbox WHERE actor = 'open/act' ORDER BY due_at LIMIT 1").fetchone()
    assert row is not None
    taken = outbox.take(conn, now, "life", closed_late=["full"], disabled=["off/act"])
    assert {one.actor for one in taken} == {"open/act"}
    assert row[0] in {one.id for one in taken}
    assert all(one.late for one in taken)
    # Their next attempt is later: the same are not taken again.
    again = outbox.take(conn, now, "life", closed_late=["full"], disabled=["off/act"])
    assert not {one.id for one in taken} & {one.id for one in again}


def test_what_is_of_this_moment_is_taken_beside_any_backlog(conn: psycopg.Connection[Any]) -> None:
    now = clock.now()
    (new,) = conn.execute(
        "INSERT INTO outbox (id, actor, message, subject, created_at, due_at, time_limit)"
        " VALUES (gen_random_uuid(), 'full/act', '{}', gen_random_uuid(), %(now)s, %(now)s, '60 s') RETURNING id",
        {"now": now},
    ).fetchone() or (None,)
    taken = outbox.take(conn, now, "life", closed_late=["full"])
    assert [(one.id, one.late) for one in taken if one.actor == "full/act"] == [(new, False)]


def test_a_broker_that_lost_everything_gets_a_large_backlog_in_steps(conn: psycopg.Connection[Any]) -> None:
    now = clock.now()
    conn.execute("UPDATE outbox SET due_at = %s, attempts = 1", [now + timedelta(minutes=5)])
    outbox.publish_lost(conn, now, "life")
    assert conn.execute("SELECT count(*) FROM outbox WHERE due_at <= %s", [now]).fetchone() == (ROWS,)


def test_counts_end_somewhere_and_the_oldest_is_known(conn: psycopg.Connection[Any]) -> None:
    found = outbox.state(conn, clock.now())
    assert found.depth == 10_000
    assert found.retried == ROWS // 1000
    assert 3599 < found.oldest < 3700


def test_of_two_relays_at_once_neither_waits_and_each_row_is_one_s(environment: dict[str, str]) -> None:
    now, dsn = clock.now(), environment["API_RECYCLE_DB_URL"]

    def accept(conn: psycopg.Connection[Any]) -> UUID:
        (id_,) = conn.execute(
            "INSERT INTO outbox (id, actor, message, subject, created_at, due_at, time_limit)"
            " VALUES (gen_random_uuid(), 'two/act', '{}', gen_random_uuid(), %(now)s, %(now)s, '60 s') RETURNING id",
            {"now": now},
        ).fetchone() or (None,)
        assert isinstance(id_, UUID)
        conn.commit()
        return id_

    with psycopg.connect(dsn) as one, psycopg.connect(dsn) as other:
        one.execute("DELETE FROM outbox")
        other.execute("SET lock_timeout = '200ms'")
        other.commit()
        first = accept(one)
        assert [task.id for task in outbox.take(one, now, "life")] == [first]
        second = accept(other)
        assert [task.id for task in outbox.take(other, now, "life")] == [second]
        one.commit()
        other.execute("DELETE FROM outbox")
