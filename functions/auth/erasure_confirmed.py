"""A service has erased a person: its message, which names the person, is deleted."""

from functions.auth.messages import ErasureConfirmed
from shared.messages import Outcome
from shared.parts import Db
from shared.tasks import settle
from shared.triggers import queue


@queue(ErasureConfirmed)
async def erasure_confirmed(outcome: Outcome, db: Db) -> None:
    if outcome.status == "failure":
        # Not an answer we take: the row stays, and the relay sends it again.
        return
    async with db.transaction() as conn:
        await settle(conn, outcome)
