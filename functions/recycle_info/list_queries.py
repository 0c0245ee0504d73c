"""The person's own searches, newest first."""

from datetime import datetime
from uuid import UUID

from litestar import get

from functions.recycle_info import db as sql
from shared.errors import BadInput, Unauthorized
from shared.http import CurrentUser, Db, PageQuery, problems
from shared.pages import Page


@get("/queries", responses=problems(BadInput, Unauthorized), summary="List my searches")
async def list_queries(user: CurrentUser, db: Db, page: PageQuery) -> Page[sql.UserQuery]:
    after = page.after(tuple[datetime, UUID])
    async with db.connection() as conn:
        rows = await sql.select_queries(conn, user.id, after, page.limit + 1)
    return page.of(rows, key=lambda row: (row.created_at, row.id))
