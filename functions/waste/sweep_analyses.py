"""Deletes analyses that are older than they are kept, with their images, in small batches; by default they are kept."""

from datetime import timedelta

from functions.waste import db as sql
from shared import clock
from shared.ids import new_id
from shared.messages import DeleteObjects
from shared.parts import Db, Settings
from shared.tasks import enqueue, forget
from shared.triggers import schedule

# Analyses in one transaction, as many as one message to the storage worker has prefixes; and transactions in one run.
BATCH, BATCHES = 50, 500


@schedule(every=3600)
async def sweep_analyses(db: Db, settings: Settings) -> None:
    if not settings.keep_analyses_days:
        return
    before = clock.now() - timedelta(days=settings.keep_analyses_days)
    for _ in range(BATCHES):
        async with db.transaction() as conn:
            old = await sql.delete_old(conn, before, BATCH)
            if not old.analyses:
                return
            # Results still under way find their rows gone, and have what they made deleted (photo_processed).
            await forget(conn, *old.analyses)
            prefixes = [f"images/{id_}" for id_ in old.without_images]
            await enqueue(
                conn, DeleteObjects(keys=old.image_keys + old.upload_keys, prefixes=prefixes), subject=new_id()
            )
