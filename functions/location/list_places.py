"""The person's places, newest first."""

from datetime import datetime
from uuid import UUID

from litestar import get

from functions.location import db as sql
from shared.errors import BadInput, Unauthorized
from shared.http import CurrentUser, Db, PageQuery, problems
from shared.pages import Page


@get("/me", responses=problems(BadInput, Unauthorized), summary="List my places")
async def list_places(user: CurrentUser, db: Db, page: PageQuery) -> Page[sql.Place]:
    after = page.after(tuple[datetime, UUID])
    async with db.connection() as conn:
        rows = await sql.select_places(conn, user.id, after, page.limit + 1)
    return page.of(rows, key=lambda place: (place.created_at, place.id))
