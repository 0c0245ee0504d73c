"""A changed profile of the person's."""

from typing import Annotated

from litestar import Response, patch
from litestar.params import JSONBody
from msgspec import UNSET, Meta, Struct, UnsetType

from functions.userinfo import db as sql
from functions.userinfo.avatars import remove
from shared import clock
from shared.errors import BadInput, PreconditionFailed, Unauthorized
from shared.http import Conditional, CurrentUser, Db, problems
from shared.text import LINE, NO_NUL, pattern

Nickname = Annotated[str, Meta(min_length=1, max_length=100, pattern=LINE, examples=["초록이"])]
Bio = Annotated[str, Meta(max_length=1000, pattern=NO_NUL, examples=["분리배출 3년 차"])]
# Null is meant; a length of 0 would say it, but Litestar (2.25) leaves a 0 out of the OpenAPI document.
Nothing = Annotated[str, Meta(pattern=pattern(r"^$(?!\n)", "can only be cleared, by null"), examples=[None])]


class ProfileChanges(Struct):
    """What is left out stays as it is; null clears.

    Attributes:
        nickname: what others call the person.
        bio: what the person says of themselves.
        avatar_url: null takes the picture away; PUT /me/avatar sets one.
    """

    nickname: Nickname | UnsetType | None = UNSET
    bio: Bio | UnsetType | None = UNSET
    avatar_url: Nothing | UnsetType | None = UNSET


@patch("/me", responses=problems(BadInput, Unauthorized, PreconditionFailed), summary="Change my profile")
async def update_profile(
    data: JSONBody[ProfileChanges], user: CurrentUser, db: Db, conditions: Conditional
) -> Response[sql.Profile]:
    async with db.transaction() as conn:
        await sql.lock_person(conn, user.id)
        profile = await sql.select_profile(conn, user.id)
        conditions.require(profile)
        if data.nickname is not UNSET:
            profile.nickname = data.nickname
        if data.bio is not UNSET:
            profile.bio = data.bio
        await sql.upsert_profile(conn, profile, clock.now())
        if data.avatar_url is not UNSET:
            await remove(conn, user.id)
        return conditions.changed(await sql.select_profile(conn, user.id))
