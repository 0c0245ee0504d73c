"""One collection center."""

from uuid import UUID

from litestar import Response, get
from litestar.params import FromPath

from functions.location import db as sql
from shared.errors import NotFound
from shared.http import Conditional, Db, problems


@get("/centers/{center_id:uuid}", responses=problems(NotFound), summary="Get a collection center")
async def get_center(center_id: FromPath[UUID], db: Db, conditions: Conditional) -> Response[sql.Center]:
    async with db.connection() as conn:
        center = await sql.select_center(conn, center_id)
    if center is None:
        raise NotFound
    return conditions.answer(center)
