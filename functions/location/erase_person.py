"""Erases what is kept under a person's id: their places."""

from uuid import UUID

import dramatiq

from functions.location import db as sql
from shared.db import database


@dramatiq.actor(queue_name="location", time_limit=60_000)
async def erase_person(*, user_id: UUID) -> None:
    async with database().transaction() as conn:
        await sql.delete_person(conn, user_id)
