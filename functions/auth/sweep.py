"""Deletes sessions, tokens and sign-ins whose time is over, every hour, in small batches."""

from functions.auth import db as sql
from shared import clock
from shared.parts import Db
from shared.triggers import schedule

# Rows of each table in one transaction, and transactions in one run: what is left comes an hour later.
BATCH, BATCHES = 2_000, 500


@schedule(every=3600)
async def sweep(db: Db) -> None:
    for _ in range(BATCHES):
        async with db.transaction() as conn:
            if await sql.delete_expired(conn, clock.now(), BATCH) == 0:
                return
