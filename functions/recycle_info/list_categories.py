"""The kinds of waste, with the number of items of each."""

from litestar import get

from functions.recycle_info import db as sql
from shared.http import Db


@get("/categories", summary="List categories")
async def list_categories(db: Db) -> list[sql.Category]:
    async with db.connection() as conn:
        return await sql.select_categories(conn)
