"""A person as others see them. Somebody who never wrote anything into their profile has none to show, but to themselves."""

from uuid import UUID

from litestar import Response, get
from litestar.params import FromPath

from functions.userinfo import db as sql
from shared.errors import NotFound
from shared.http import Conditional, Db, MaybeUser, problems


@get("/{user_id:uuid}", responses=problems(NotFound), summary="Get somebody's public profile")
async def get_public_profile(
    user_id: FromPath[UUID], maybe_user: MaybeUser, db: Db, conditions: Conditional
) -> Response[sql.PublicProfile]:
    async with db.connection() as conn:
        profile = await sql.select_public_profile(conn, user_id)
    if profile is None:
        # Who is here is auth's to know: that the caller is, their token says.
        if maybe_user is None or maybe_user.id != user_id:
            raise NotFound
        profile = sql.PublicProfile(user_id, None, None, None)
    return conditions.answer(profile)
