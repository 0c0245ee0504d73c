"""Erases a person: their analyses, what is queued for them, their answers kept for repeats, and every object of theirs."""

from uuid import UUID

import dramatiq

from functions.waste import db as sql
from shared import progress, uploads
from shared.db import database
from shared.ids import new_id
from shared.messages import DeleteObjects
from shared.redis import broker
from shared.tasks import enqueue, forget

# Keys and prefixes in one message to the storage worker.
BATCH = 500


@dramatiq.actor(queue_name="waste", time_limit=60_000)
async def erase_person(*, user_id: UUID) -> None:
    async with database().transaction() as conn:
        analyses = await sql.delete_person(conn, user_id)
        # Results still under way find their rows gone, and have what they made deleted (photo_processed).
        await forget(conn, *analyses)
        keys = await uploads.delete_of_person(conn, user_id)
        prefixes = [f"images/{analysis_id}" for analysis_id in analyses]
        for start in range(0, max(len(keys), len(prefixes)), BATCH):
            part = slice(start, start + BATCH)
            await enqueue(conn, DeleteObjects(keys=keys[part], prefixes=prefixes[part]), subject=new_id())
        # Before the commit: with Redis away all of this is done again.
        await progress.forget(broker(), *analyses)
