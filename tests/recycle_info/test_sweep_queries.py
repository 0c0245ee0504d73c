"""How long searches are kept."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from functions.recycle_info import db as sql
from functions.recycle_info import sweep_queries as module
from functions.recycle_info.sweep_queries import sweep_queries
from shared import clock
from shared.db import Database
from shared.ids import new_id
from shared.settings import Settings

Later = Callable[[float], AbstractContextManager[None]]


async def test_searches_go_when_their_time_is_over_and_by_default_never(
    db: Callable[[str], Awaitable[Database]], later: Later
) -> None:
    database, person = await db("recycle-info"), uuid4()

    async def search(query: str) -> None:
        async with database.transaction() as conn:
            await sql.insert_query(conn, new_id(), person, query, [], clock.now())

    async def kept() -> list[str]:
        async with database.connection() as conn:
            return [one.query for one in await sql.select_queries(conn, person, None, 100)]

    await search("old")
    with later(86_400 * 31):
        await search("new")
        await sweep_queries(database, Settings())
        assert await kept() == ["new", "old"]
        await sweep_queries(database, Settings(keep_queries_days=30))
        assert await kept() == ["new"]


async def test_a_run_goes_on_behind_its_first_batch_and_by_what_a_search_itself_says(
    db: Callable[[str], Awaitable[Database]], later: Later, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH", 2)
    database, person = await db("recycle-info"), uuid4()
    async with database.transaction() as conn:
        await conn.execute("DELETE FROM user_queries")
        for number in (3, 0, 4, 2, 1):  # not as they lie: who reads without an order would find them in it all the same
            with later(number):  # ids of one millisecond have no order
                await sql.insert_query(conn, new_id(), person, f"old {number}", [], clock.now())
    with later(86_400 * 31):
        async with database.transaction() as conn:
            # An id that tells no time, as other software makes them.
            await sql.insert_query(conn, UUID(int=uuid4().int >> 40), person, "new", [], clock.now())
            # The oldest go first.
            assert await sql.delete_old_queries(conn, clock.now() - timedelta(days=30), 2) == 2
            left = [one.query for one in await sql.select_queries(conn, person, None, 100)]
            assert left == ["new", "old 4", "old 3", "old 2"]
        await sweep_queries(database, Settings(keep_queries_days=30))
    async with database.connection() as conn:
        assert [one.query for one in await sql.select_queries(conn, person, None, 100)] == ["new"]
