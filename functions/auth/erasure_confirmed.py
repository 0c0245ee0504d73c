"""Services have erased people: their messages, which name the people, are deleted."""

from functions.auth.messages import ErasureConfirmed
from shared.messages import Outcome
from shared.parts import Db
from shared.tasks import settle_all
from shared.triggers import queue


@queue(ErasureConfirmed)
async def erasure_confirmed(outcomes: list[Outcome], db: Db) -> None:
    # A failure is not an answer we take: the row stays, and the relay sends it again.
    erased = [outcome for outcome in outcomes if outcome.status == "success"]
    if erased:
        async with db.transaction() as conn:
            await settle_all(conn, erased)
