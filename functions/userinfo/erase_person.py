"""Erases a person: profile, settings, answers kept for repeats, and every object of theirs."""

from functions.userinfo import avatars
from functions.userinfo import db as sql
from shared import uploads
from shared.messages import ErasePerson
from shared.parts import Db
from shared.tasks import forget
from shared.triggers import queue


@queue(ErasePerson)
async def erase_person(message: ErasePerson, db: Db) -> None:
    user_id = message.user_id
    async with db.transaction() as conn:
        await sql.lock_person(conn, user_id)
        pictures = await sql.delete_person(conn, user_id)
        # A result still under way finds its row gone, and has what was made deleted (avatar_processed).
        await forget(conn, *pictures)
        if forms := await uploads.select_open(conn, user_id):
            # A form once given is good for an hour, and an app may send what it had queued: again when the last has ended.
            await avatars.delete_objects(conn, keys=forms, delay=uploads.LIFETIME.total_seconds())
        keys = await uploads.delete_of_person(conn, user_id)
        if keys or pictures:
            await avatars.delete_objects(conn, keys=keys, prefixes=[avatars.prefix(picture) for picture in pictures])
