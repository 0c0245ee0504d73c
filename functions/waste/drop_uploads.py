"""Deletes the raw uploads, with the position that a camera writes into them, of analyses that have ended, well or not.

Many in one task: one for each photo cost as much of all parts as storing its two copies.
"""

from functions.waste import db as sql
from shared.ids import new_id
from shared.messages import DeleteObjects
from shared.parts import Db
from shared.tasks import enqueue
from shared.triggers import schedule

# Transactions of 500 uploads in one run: what is left comes with the next one.
BATCHES = 20


@schedule(every=60)
async def drop_uploads(db: Db) -> None:
    for _ in range(BATCHES):
        async with db.transaction() as conn:
            keys = await sql.update_ended_uploads(conn)
            if not keys:
                return
            await enqueue(conn, DeleteObjects(keys=keys), subject=new_id())
