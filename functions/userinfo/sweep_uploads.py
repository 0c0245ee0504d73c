"""Deletes raw uploads that no one set as an avatar, or that something left behind, before they are a day old."""

from functions.userinfo.avatars import delete_objects
from shared import uploads
from shared.parts import Db
from shared.triggers import schedule


@schedule(every=3600)
async def sweep_uploads(db: Db) -> None:
    while True:
        async with db.transaction() as conn:
            keys = await uploads.select_stale(conn)
            if not keys:
                return
            await delete_objects(conn, keys=keys)
            await uploads.delete_rows(conn, keys)
