"""Erases what is kept under a person's id: their searches."""

from functions.recycle_info import db as sql
from shared.messages import ErasePerson
from shared.parts import Db
from shared.triggers import queue


@queue(ErasePerson)
async def erase_person(message: ErasePerson, db: Db) -> None:
    async with db.transaction() as conn:
        await sql.delete_person(conn, message.user_id)
