"""Deletes raw uploads that no one asked to analyse, or that something left behind, before they are a day old."""

from shared import uploads
from shared.ids import new_id
from shared.messages import DeleteObjects
from shared.parts import Db
from shared.tasks import enqueue
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
            await enqueue(conn, DeleteObjects(keys=keys), subject=new_id())
            await uploads.delete_rows(conn, keys)
