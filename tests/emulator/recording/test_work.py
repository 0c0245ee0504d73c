"""Which requests have set going what has not ended"""

from collections.abc import Iterator
from datetime import UTC, datetime

import psycopg
import pytest

from emulator.recording.work import Work
from emulator.servers.postgres import Postgres
from shared.ids import new_id

NOW = 2_000_000_000.0


@pytest.fixture
def work(postgres: Postgres) -> Iterator[Work]:
    found = Work(postgres.dsn("migrator"))
    yield found
    found.close()


def test_a_task_is_open_that_is_due_or_was_begun_and_neither_one_of_later_nor_one_without_a_trace(
    postgres: Postgres, work: Work
) -> None:
    def trace(letter: str) -> str:
        return f"00-{letter * 32}-{letter * 16}-01"

    tasks = [
        ("waste", trace("a"), NOW - 1, 0),
        ("auth", trace("b"), NOW + 1.5, 0),  # within a moment
        ("waste", trace("c"), NOW + 2.5, 0),
        ("waste", trace("d"), NOW + 600, 1),  # put off after an attempt
        ("waste", None, NOW - 1, 0),
    ]
    ids = []
    try:
        with psycopg.connect(postgres.dsn("migrator"), autocommit=True) as conn:
            for schema, traceparent, due, attempts in tasks:
                ids.append(new_id())
                conn.execute(
                    f"INSERT INTO {schema}.outbox (id, actor, message, subject, created_at, due_at, time_limit,"
                    " attempts, traceparent) VALUES (%s, 'x', '{}', %s, now(), %s, '1 min', %s, %s)",
                    [ids[-1], new_id(), datetime.fromtimestamp(due, UTC), attempts, traceparent],
                )
        assert work.open(NOW) & {letter * 32 for letter in "abcd"} == {letter * 32 for letter in "abd"}
        assert all(work.open(NOW))
    finally:
        with psycopg.connect(postgres.dsn("migrator"), autocommit=True) as conn:
            for schema in ("waste", "auth"):
                conn.execute(f"DELETE FROM {schema}.outbox WHERE id = ANY(%s)", [ids])
