"""One item: what it is, how it is recycled, and what not to do with it."""

from uuid import UUID

from litestar import Response, get
from litestar.params import FromPath

from functions.recycle_info import db as sql
from shared.errors import BadInput, NotFound
from shared.http import Conditional, Db, problems


@get("/items/{item_id:uuid}", responses=problems(BadInput, NotFound), summary="Get an item")
async def get_item(item_id: FromPath[UUID], db: Db, conditions: Conditional) -> Response[sql.Item]:
    async with db.connection() as conn:
        item = await sql.select_item(conn, item_id)
    if item is None:
        raise NotFound
    return conditions.answer(item)
