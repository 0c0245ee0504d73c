"""Erases a person: their conversations, what is queued for them, their answers kept for repeats, and tokens on their way."""

from functions.chat_llm import db as sql
from shared import progress
from shared.messages import ErasePerson
from shared.parts import Broker, Db
from shared.tasks import forget
from shared.triggers import queue


@queue(ErasePerson)
async def erase_person(message: ErasePerson, db: Db, broker: Broker) -> None:
    async with db.transaction() as conn:
        replies = await sql.delete_person(conn, message.user_id)
        # An answer still on its way finds its row gone (answered).
        await forget(conn, *replies)
        # Before the commit: with Redis away all of this is done again.
        await progress.forget(broker, *replies)
