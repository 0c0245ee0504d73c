"""Forgets one of the person's places."""

from uuid import UUID

from litestar import delete
from litestar.params import FromPath

from functions.location import db as sql
from shared.errors import NotFound, PreconditionFailed, Unauthorized
from shared.http import Conditional, CurrentUser, Db, problems


@delete(
    "/me/{place_id:uuid}",
    status_code=204,
    responses=problems(Unauthorized, NotFound, PreconditionFailed),
    summary="Delete one of my places",
)
async def delete_place(place_id: FromPath[UUID], user: CurrentUser, db: Db, conditions: Conditional) -> None:
    async with db.transaction() as conn:
        place = await sql.select_place_for_update(conn, user.id, place_id)
        if place is None:
            raise NotFound
        conditions.require(place)
        await sql.delete_place(conn, place_id)
