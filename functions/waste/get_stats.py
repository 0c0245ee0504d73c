"""What the person has had analysed, by kind."""

from litestar import Response, get

from functions.waste import db as sql
from functions.waste.db import Stats
from shared.http import Conditional, CurrentUser, Db


@get("/stats", summary="Read statistics")
async def get_stats(user: CurrentUser, db: Db, conditions: Conditional) -> Response[Stats]:
    async with db.connection() as conn:
        stats = await sql.select_stats(conn, user.id)
    return conditions.answer(stats)
