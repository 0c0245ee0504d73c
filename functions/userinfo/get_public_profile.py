"""A person as others see them. Somebody who never wrote anything into their profile has none to show."""

from uuid import UUID

from litestar import Response, get
from litestar.params import FromPath

from functions.userinfo import db as sql
from shared.errors import NotFound
from shared.http import Conditional, Db, problems


@get("/{user_id:uuid}", responses=problems(NotFound), summary="Get somebody's public profile")
async def get_public_profile(user_id: FromPath[UUID], db: Db, conditions: Conditional) -> Response[sql.PublicProfile]:
    async with db.connection() as conn:
        profile = await sql.select_public_profile(conn, user_id)
    if profile is None:
        raise NotFound
    return conditions.answer(profile)
