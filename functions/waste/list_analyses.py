"""The person's analyses, newest first."""

from datetime import datetime
from uuid import UUID

from litestar import get

from functions.waste import db as sql
from functions.waste.model import Analysis
from shared.http import CurrentUser, Db, Page, PageQuery


@get("/analyses", summary="List analyses")
async def list_analyses(user: CurrentUser, db: Db, page: PageQuery) -> Page[Analysis]:
    after = page.after(tuple[datetime, UUID])
    async with db.connection() as conn:
        rows = await sql.select_analyses(conn, user.id, after, page.limit + 1)
    return page.of(rows, key=lambda analysis: (analysis.created_at, analysis.id))
