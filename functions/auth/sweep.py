"""Deletes sessions and refresh tokens whose time is over, every hour."""

from functions.auth import db as sql
from shared import clock
from shared.db import database
from shared.triggers import schedule


@schedule(every=3600)
async def sweep() -> None:
    async with database().connection() as conn:
        await sql.delete_expired(conn, clock.now())
