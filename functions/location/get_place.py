"""One of the person's places."""

from uuid import UUID

from litestar import Response, get
from litestar.params import FromPath

from functions.location import db as sql
from shared.errors import NotFound, Unauthorized
from shared.http import Conditional, CurrentUser, Db, problems


@get("/me/{place_id:uuid}", responses=problems(Unauthorized, NotFound), summary="Get one of my places")
async def get_place(
    place_id: FromPath[UUID], user: CurrentUser, db: Db, conditions: Conditional
) -> Response[sql.Place]:
    async with db.connection() as conn:
        place = await sql.select_place(conn, user.id, place_id)
    if place is None:
        raise NotFound
    return conditions.answer(place)
