"""The person's own profile; the defaults for one who has written nothing yet."""

from litestar import Response, get

from functions.userinfo import db as sql
from shared.errors import Unauthorized
from shared.http import Conditional, CurrentUser, Db, problems


@get("/me", responses=problems(Unauthorized), summary="Get my profile")
async def get_profile(user: CurrentUser, db: Db, conditions: Conditional) -> Response[sql.Profile]:
    async with db.connection() as conn:
        return conditions.answer(await sql.select_profile(conn, user.id))
