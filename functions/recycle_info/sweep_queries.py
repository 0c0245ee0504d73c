"""Deletes searches that are older than they are kept, in batches; by default they are kept."""

from datetime import timedelta

from functions.recycle_info import db as sql
from shared import clock
from shared.parts import Db, Settings
from shared.triggers import schedule

# Searches in one transaction, and transactions in one run.
BATCH, BATCHES = 1000, 500


@schedule(every=3600)
async def sweep_queries(db: Db, settings: Settings) -> None:
    if not settings.keep_queries_days:
        return
    before = clock.now() - timedelta(days=settings.keep_queries_days)
    for _ in range(BATCHES):
        async with db.transaction() as conn:
            if await sql.delete_old_queries(conn, before, BATCH) < BATCH:
                return
