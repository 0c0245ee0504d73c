"""A form with which the app puts a new picture of the person straight into the object store."""

from litestar import post
from litestar.params import JSONBody

from shared import rates, uploads
from shared.errors import BadInput, TooMany, Unauthorized
from shared.http import Broker, CurrentUser, Db, Objects, Settings, problems
from shared.uploads import Upload, UploadRequest


@post(
    "/me/avatar/uploads",
    status_code=201,
    responses=problems(BadInput, Unauthorized, TooMany),
    summary="Ask for an avatar upload",
)
async def create_avatar_upload(
    data: JSONBody[UploadRequest], user: CurrentUser, db: Db, objects: Objects, broker: Broker, settings: Settings
) -> Upload:
    await rates.quota(broker, "uploads", user.id, settings.quota_uploads)
    upload = await uploads.sign(objects, user.id, data)
    async with db.connection() as conn:
        await uploads.insert(conn, user.id, upload)
    return upload
