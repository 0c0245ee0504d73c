"""A form with which the app puts one photo straight into the object store."""

from litestar import post
from litestar.params import JSONBody

from shared import uploads
from shared.http import CurrentUser, Db, Objects
from shared.uploads import Upload, UploadRequest


@post("/uploads", status_code=201, summary="Ask for an upload")
async def create_upload(data: JSONBody[UploadRequest], user: CurrentUser, db: Db, objects: Objects) -> Upload:
    upload = await uploads.sign(objects, user.id, data)
    async with db.connection() as conn:
        await uploads.insert(conn, user.id, upload)
    return upload
