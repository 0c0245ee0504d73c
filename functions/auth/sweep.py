"""Deletes sessions and refresh tokens whose time is over, every hour."""

from functions.auth import db as sql
from shared import clock
from shared.parts import Db
from shared.triggers import schedule


@schedule(every=3600)
async def sweep(db: Db) -> None:
    async with db.connection() as conn:
        await sql.delete_expired(conn, clock.now())
