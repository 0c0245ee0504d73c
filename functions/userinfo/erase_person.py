"""Erases a person: profile, settings, answers kept for repeats, and every object of theirs."""

from uuid import UUID

import dramatiq

from functions.userinfo import avatars
from functions.userinfo import db as sql
from shared import uploads
from shared.db import database
from shared.tasks import forget


@dramatiq.actor(queue_name="userinfo", time_limit=60_000)
async def erase_person(*, user_id: UUID) -> None:
    async with database().transaction() as conn:
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
