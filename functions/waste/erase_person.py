"""Erases a person: their analyses, what is queued for them, their answers kept for repeats, and every object of theirs."""

from functions.waste import db as sql
from shared import progress, uploads
from shared.ids import new_id
from shared.messages import DeleteObjects, ErasePerson
from shared.parts import Broker, Db
from shared.tasks import enqueue, forget
from shared.triggers import queue

# Prefixes in one message to the storage worker: each costs a look into the store, and a run is to stay short.
BATCH = 50


@queue(ErasePerson)
async def erase_person(message: ErasePerson, db: Db, broker: Broker) -> None:
    user_id = message.user_id
    async with db.transaction() as conn:
        analyses = await sql.delete_person(conn, user_id)
        # Results still under way find their rows gone, and have what they made deleted (photo_processed).
        await forget(conn, *analyses)
        if forms := await uploads.select_open(conn, user_id):
            # A form once given is good for an hour, and an app may send what it had queued: again when the last has ended.
            late = uploads.LIFETIME.total_seconds()
            await enqueue(conn, DeleteObjects(keys=forms), subject=new_id(), delay=late)
        await uploads.delete_of_person(conn, user_id)
        # The whole folder of raw uploads and not the keys we know: avatars' forms lead there too.
        prefixes = [f"uploads/{user_id}", *(f"images/{analysis_id}" for analysis_id in analyses)]
        for start in range(0, len(prefixes), BATCH):
            await enqueue(conn, DeleteObjects(prefixes=prefixes[start : start + BATCH]), subject=new_id())
        # Before the commit: with Redis away all of this is done again.
        await progress.forget(broker, *analyses)
