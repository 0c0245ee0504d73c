"""A form with which the app puts one photo straight into the object store."""

from litestar import post
from litestar.params import JSONBody

from shared import rates, uploads
from shared.errors import TooMany
from shared.http import Broker, CurrentUser, Db, Objects, Settings, problems
from shared.uploads import Upload, UploadRequest


@post("/uploads", status_code=201, responses=problems(TooMany), summary="Ask for an upload")
async def create_upload(
    data: JSONBody[UploadRequest], user: CurrentUser, db: Db, objects: Objects, broker: Broker, settings: Settings
) -> Upload:
    await rates.quota(broker, "uploads", user.id, settings.quota_uploads)
    upload = await uploads.sign(objects, user.id, data)
    async with db.connection() as conn:
        await uploads.insert(conn, user.id, upload)
    return upload
