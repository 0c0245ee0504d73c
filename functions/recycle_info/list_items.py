"""Items by name, of one category or of all."""

from typing import Annotated
from uuid import UUID

from litestar import get
from litestar.params import QueryParameter

from functions.recycle_info import db as sql
from shared.errors import BadInput
from shared.http import Db, PageQuery, problems
from shared.pages import Page


@get("/items", responses=problems(BadInput), summary="List items")
async def list_items(
    db: Db,
    page: PageQuery,
    category: Annotated[sql.CategoryName | None, QueryParameter(description="Items of this category alone.")] = None,
) -> Page[sql.Item]:
    after = page.after(tuple[str, UUID])
    if after is not None and "\0" in after[0]:
        raise BadInput("cursor", "take it from next_cursor of the page before, unchanged")
    async with db.connection() as conn:
        rows = await sql.select_items(conn, category, after, page.limit + 1)
    return page.of(rows, key=lambda item: (item.name, item.id))
