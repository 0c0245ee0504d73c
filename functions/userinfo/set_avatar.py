"""Accepts an uploaded picture: `avatar_url` follows when it has been checked."""

from typing import Annotated, Any

from litestar import Response, put
from litestar.params import JSONBody
from msgspec import Meta, Struct

from functions.userinfo import avatars
from functions.userinfo import db as sql
from functions.userinfo.messages import AvatarProcessed
from shared import clock, uploads
from shared.errors import BadInput, Conflict, PreconditionFailed, Unauthorized
from shared.http import Conditional, CurrentUser, Db, Idem, Objects, problems
from shared.ids import new_id
from shared.messages import ProcessPhoto
from shared.spend import spender
from shared.tasks import enqueue
from shared.uploads import UploadNotFound


class AvatarRequest(Struct):
    """The picture, by the key that its upload was given.

    Attributes:
        image_key: of POST /me/avatar/uploads.
    """

    image_key: Annotated[str, Meta(pattern=uploads.KEY_PATTERN, examples=[uploads.EXAMPLE_KEY])]


@put(
    "/me/avatar",
    status_code=202,
    responses=problems(BadInput, Unauthorized, UploadNotFound, Conflict, PreconditionFailed),
    summary="Set my avatar",
)
async def set_avatar(
    data: JSONBody[AvatarRequest],
    user: CurrentUser,
    db: Db,
    objects: Objects,
    idempotency: Idem,
    conditions: Conditional,
) -> Response[sql.Profile]:
    # A repeat gets its answer although the upload is used by now, and gone soon.
    seen: Response[Any] | None
    async with db.connection() as conn:
        if (seen := await idempotency.find(conn)) is not None:
            return seen
        if conditions.given:
            # Who knows a stale profile hears of that first; under the lock it is looked at again.
            conditions.require(await sql.select_profile(conn, user.id))
    await uploads.check_uploaded(objects, data.image_key)
    async with db.transaction() as conn:
        if (seen := await idempotency.claim(conn)) is not None:
            return seen
        await sql.lock_person(conn, user.id)
        conditions.require(await sql.select_profile(conn, user.id))
        await uploads.redeem(conn, user.id, data.image_key)
        avatar = sql.Avatar(new_id(), user.id, data.image_key)
        await sql.insert_avatar(conn, avatar, clock.now())
        message = ProcessPhoto(image_key=avatar.image_key, prefix=avatars.prefix(avatar.id))
        await enqueue(conn, message, subject=avatar.id, reply=AvatarProcessed, person=spender(user.id))
        return await idempotency.keep(conn, await sql.select_profile(conn, user.id), status=202)
