"""Erases a person: their analyses, what is queued for them, their answers kept for repeats, and every object of theirs."""

from functions.waste import db as sql
from shared import progress, uploads
from shared.ids import new_id
from shared.messages import DeleteObjects, ErasePerson
from shared.parts import Broker, Db
from shared.tasks import enqueue, forget
from shared.triggers import queue

# In one message to the storage worker, whose run is to stay short: known keys, of which the store deletes a thousand at once,
# and prefixes, each of which costs a look into the store.
KEYS, PREFIXES = 500, 50


@queue(ErasePerson)
async def erase_person(message: ErasePerson, db: Db, broker: Broker) -> None:
    user_id = message.user_id
    async with db.transaction() as conn:
        erased = await sql.delete_person(conn, user_id)
        # Results still under way find their rows gone, and have what they made deleted (photo_processed).
        await forget(conn, *erased.analyses)
        if forms := await uploads.select_open(conn, user_id):
            # A form once given is good for an hour, and an app may send what it had queued: again when the last has ended.
            late = uploads.LIFETIME.total_seconds()
            await enqueue(conn, DeleteObjects(keys=forms), subject=new_id(), delay=late)
        await uploads.delete_of_person(conn, user_id)
        # The whole folder of raw uploads and not the keys we know: avatars' forms lead there too.
        prefixes = [f"uploads/{user_id}", *(f"images/{analysis_id}" for analysis_id in erased.without_images)]
        for start in range(0, len(prefixes), PREFIXES):
            await enqueue(conn, DeleteObjects(prefixes=prefixes[start : start + PREFIXES]), subject=new_id())
        for start in range(0, len(erased.image_keys), KEYS):
            await enqueue(conn, DeleteObjects(keys=erased.image_keys[start : start + KEYS]), subject=new_id())
        # Before the commit: with Redis away all of this is done again.
        await progress.forget(broker, *erased.analyses)
