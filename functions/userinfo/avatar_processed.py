"""The storage worker's answer: the picture is checked and stored, or it is not a picture."""

from functions.userinfo import avatars
from functions.userinfo import db as sql
from functions.userinfo.messages import AvatarProcessed
from shared import clock
from shared.messages import Outcome, ProcessedPhoto, convert
from shared.parts import Db, Objects
from shared.tasks import settle_later
from shared.triggers import queue


@queue(AvatarProcessed)
async def avatar_processed(outcome: Outcome, db: Db, objects: Objects) -> None:
    avatar_id = outcome.subject
    async with db.transaction() as conn:
        avatar = await sql.select_avatar(conn, avatar_id)
        if avatar is not None:
            await sql.lock_person(conn, avatar.user_id)
            # Again: while the lock was waited for, a second copy of this message or an erasure may have been here.
            avatar = await sql.select_avatar(conn, avatar_id)
        # Behind the lock, as an erasure comes to the task: each would else wait for what the other holds.
        await settle_later(conn, outcome)
        if avatar is None:
            # Told before, or erased. In the second case no one will ever ask for these copies.
            if not await sql.select_avatar_shown(conn, avatar_id):
                await avatars.delete_objects(conn, prefixes=[avatars.prefix(avatar_id)])
            return
        state = await sql.select_avatar_state(conn, avatar.user_id)
        await sql.delete_avatar(conn, avatar_id)
        gone, below = [avatar.image_key], []
        if outcome.status == "success" and state.wanted_avatar_id == avatar_id:
            photo = convert(outcome.record, ProcessedPhoto)
            url = objects.public_url(photo.thumbnail_key)
            await sql.update_avatar(conn, avatar.user_id, avatar_id, url, clock.now())
            gone.append(photo.web_key)  # of a face no more is kept than is shown
            below = [avatars.prefix(state.avatar_id)] if state.avatar_id is not None else []
        elif outcome.status == "success":
            below = [avatars.prefix(avatar_id)]  # another was chosen meanwhile, or none
        elif state.wanted_avatar_id == avatar_id and outcome.error is not None:
            await sql.update_avatar_refused(conn, avatar.user_id, outcome.error.message, clock.now())
        await avatars.delete_objects(conn, keys=gone, prefixes=below)
