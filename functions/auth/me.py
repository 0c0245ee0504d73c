"""The person whose token it is."""

from litestar import Response, get

from functions.auth import db as sql
from shared.errors import Unauthorized
from shared.http import Conditional, CurrentUser, Db, problems


@get("/me", responses=problems(Unauthorized), summary="Who am I")
async def me(user: CurrentUser, db: Db, conditions: Conditional) -> Response[sql.Person]:
    async with db.connection() as conn:
        person = await sql.select_person(conn, user.id, user.session_id)
    if person is None:
        raise Unauthorized("The session has ended.")
    return conditions.answer(person)
