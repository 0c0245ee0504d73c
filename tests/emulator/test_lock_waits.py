"""A statement that waits for a lock says who holds it: for the dashboard's timelines and `eco2 trace`."""

import asyncio
from typing import Any

import psycopg
import pytest

from emulator.dashboard.locks import Locks

MINE = "SELECT pg_advisory_xact_lock(20251129)"


def sql_span(trace: str, id_: str, conn: psycopg.AsyncConnection[Any], ms: float = 1.0) -> dict[str, Any]:
    """What a process tells of a statement that has ended."""
    facts = {"backend": conn.info.backend_pid}
    return {
        "trace": trace,
        "id": id_,
        "service": "userinfo",
        "kind": "sql",
        "start": 5.0,
        "ms": ms,
        "attributes": facts,
    }


def late(trace: str, statement: str, conn: psycopg.AsyncConnection[Any]) -> dict[str, Any]:
    """And of one that has not."""
    return sql_span(trace, "late", conn) | {"parent": statement}


class Watched:
    """Locks under one service's role, what they told, and whether they have looked."""

    def __init__(self, environment: dict[str, str], variable: str = "API_USERS_DB_URL") -> None:
        self.owner, self.dsn, self.told = environment["MIGRATION_DB_URL"], environment[variable], list[dict[str, Any]]()

        async def dsn(service: str) -> str:
            return self.dsn

        self.locks = Locks(dsn, self.told.append)

    async def looked(self, conn: psycopg.AsyncConnection[Any]) -> None:
        """Return once the connection waits for a lock, and a question asked after that was answered."""
        async with await psycopg.AsyncConnection.connect(self.dsn, autocommit=True) as own:
            while True:
                found = await own.execute(
                    """
                    SELECT 1
                    FROM pg_stat_activity AS waits, pg_stat_activity AS asks
                    WHERE waits.pid = %s AND waits.wait_event_type = 'Lock' AND asks.application_name = 'eco2-dashboard'
                        AND asks.state = 'idle' AND asks.query_start > waits.query_start
                    """,
                    [conn.info.backend_pid],
                )
                if await found.fetchone():
                    return
                await asyncio.sleep(0.02)


@pytest.fixture
def watched(environment: dict[str, str]) -> Watched:
    return Watched(environment)


async def test_a_wait_for_a_lock_names_its_holder_its_statement_and_its_trace(watched: Watched) -> None:
    connect = psycopg.AsyncConnection.connect
    async with (
        await connect(watched.dsn, application_name="api-userinfo") as holder,
        await connect(watched.dsn) as waiter,
    ):
        await holder.execute(MINE)
        watched.locks.ended(sql_span("h" * 32, "1", holder))
        waiting = asyncio.create_task(waiter.execute(MINE))
        watched.locks.late(late("w" * 32, "2", waiter))
        await watched.looked(waiter)
        assert watched.told == []  # how long it will be is known at its end
        await holder.commit()
        await waiting
        watched.locks.ended(sql_span("w" * 32, "2", waiter, ms=812.5))
    (wait,) = watched.told
    assert (wait["trace"], wait["parent"], wait["kind"], wait["name"]) == ("w" * 32, "2", "wait", "lock")
    assert (wait["start"], 0 < wait["ms"] <= 812.5) == (5.0, True)
    assert wait["attributes"] == {"said": f"api-userinfo, idle in transaction: {MINE}", "holder": "h" * 32}


async def test_a_statement_that_works_for_long_waits_for_no_one_and_is_asked_about_no_more(watched: Watched) -> None:
    async with await psycopg.AsyncConnection.connect(watched.dsn) as worker:
        working = asyncio.create_task(worker.execute("SELECT pg_sleep(30)"))
        watched.locks.late(late("w" * 32, "2", worker))
        assert watched.locks.looking is not None
        await watched.locks.looking
        await worker.cancel_safe()
        with pytest.raises(psycopg.errors.QueryCanceled):
            await working
        watched.locks.ended(sql_span("w" * 32, "2", worker))
    assert watched.told == []


async def test_what_another_role_does_is_not_shown_but_that_it_holds_the_lock_is(
    watched: Watched, environment: dict[str, str]
) -> None:
    connect = psycopg.AsyncConnection.connect
    async with await connect(watched.owner) as holder, await connect(watched.dsn) as waiter:
        await holder.execute(MINE)
        waiting = asyncio.create_task(waiter.execute(MINE))
        watched.locks.late(late("w" * 32, "2", waiter))
        await watched.looked(waiter)
        await holder.commit()
        await waiting
        watched.locks.ended(sql_span("w" * 32, "2", waiter))
        assert [wait["attributes"] for wait in watched.told] == [{"said": f"process {holder.info.backend_pid}"}]


async def test_a_database_that_is_away_ends_the_looking(watched: Watched) -> None:
    async with await psycopg.AsyncConnection.connect(watched.dsn) as worker:
        watched.dsn = "postgresql://nobody@127.0.0.1:1/none"
        watched.locks.late(late("w" * 32, "2", worker))
        assert watched.locks.looking is not None
        await watched.locks.looking
    assert watched.told == []
