"""Deletes conversations that no one has added to for longer than they are kept, in small batches; by default they are kept."""

from datetime import timedelta
from uuid import UUID

from functions.chat_llm import db as sql
from shared import clock
from shared.parts import Db, Settings
from shared.tasks import forget
from shared.triggers import schedule

# Conversations that one transaction looks at, and transactions in one run.
BATCH, BATCHES = 200, 1000


@schedule(every=86_400)
async def sweep_conversations(db: Db, settings: Settings) -> None:
    if not settings.keep_conversations_days:
        return
    before = clock.now() - timedelta(days=settings.keep_conversations_days)
    behind = UUID(int=0)
    for _ in range(BATCHES):
        async with db.transaction() as conn:
            candidates = await sql.select_candidates_for_update(conn, behind, before, BATCH)
            if not candidates:
                return
            await forget(conn, *await sql.delete_idle(conn, candidates, before))
        behind = candidates[-1]
