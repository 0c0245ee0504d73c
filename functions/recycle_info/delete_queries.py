"""Forgets the person's searches, all of them."""

from litestar import delete

from functions.recycle_info import db as sql
from shared.errors import Unauthorized
from shared.http import CurrentUser, Db, problems


@delete("/queries", status_code=204, responses=problems(Unauthorized), summary="Forget my searches")
async def delete_queries(user: CurrentUser, db: Db) -> None:
    async with db.connection() as conn:
        await sql.delete_queries(conn, user.id)
