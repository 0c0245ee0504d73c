"""How the app is to behave for the person; the defaults for one who has chosen nothing yet."""

from litestar import Response, get

from functions.userinfo import db as sql
from shared.errors import Unauthorized
from shared.http import Conditional, CurrentUser, Db, problems


@get("/me/settings", responses=problems(Unauthorized), summary="Get my settings")
async def get_settings(user: CurrentUser, db: Db, conditions: Conditional) -> Response[sql.Settings]:
    async with db.connection() as conn:
        return conditions.answer(await sql.select_settings(conn, user.id))
