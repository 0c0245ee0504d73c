"""How long searches are kept."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from uuid import uuid4

from functions.recycle_info import db as sql
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
