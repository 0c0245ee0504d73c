"""Erases a person: their conversations, what is queued for them, their answers kept for repeats, and tokens on their way."""

from uuid import UUID

import dramatiq

from functions.chat_llm import db as sql
from shared import progress
from shared.db import database
from shared.redis import broker
from shared.tasks import forget


@dramatiq.actor(queue_name="chat_llm", time_limit=60_000)
async def erase_person(*, user_id: UUID) -> None:
    async with database().transaction() as conn:
        replies = await sql.delete_person(conn, user_id)
        # An answer still on its way finds its row gone (answered).
        await forget(conn, *replies)
        # Before the commit: with Redis away all of this is done again.
        await progress.forget(broker(), *replies)
