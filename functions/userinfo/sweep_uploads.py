"""Deletes raw uploads that no one set as an avatar, or that something left behind, before they are a day old."""

from functions.userinfo.avatars import delete_objects
from shared import uploads
from shared.parts import Db
from shared.triggers import schedule

# Transactions of 500 uploads in one run: what is left comes an hour later.
BATCHES = 200


@schedule(every=3600)
async def sweep_uploads(db: Db) -> None:
    for _ in range(BATCHES):
        async with db.transaction() as conn:
            keys = await uploads.select_stale(conn)
            if not keys:
                return
            await delete_objects(conn, keys=keys)
            await uploads.delete_rows(conn, keys)
