"""Forgets the person's searches, all of them."""

from litestar import delete

from functions.recycle_info import db as sql
from shared.errors import PreconditionFailed, Unauthorized
from shared.http import Conditional, CurrentUser, Db, problems


@delete("/queries", status_code=204, responses=problems(Unauthorized, PreconditionFailed), summary="Forget my searches")
async def delete_queries(user: CurrentUser, db: Db, conditions: Conditional) -> None:
    # A list has no ETag: whichever If-Match names is none of it.
    conditions.require(None)
    async with db.connection() as conn:
        await sql.delete_queries(conn, user.id)
