"""Fills the guides of analyses that were finished while recycle-info was away."""

from functions.waste import db as sql
from functions.waste.guides import Guides
from shared.parts import Cache, Calls, Db
from shared.triggers import schedule

_AT_ONCE = 200


@schedule(every=60)
async def fill_guides(db: Db, calls: Calls, cache: Cache) -> None:
    guides = Guides(calls, cache)
    async with db.connection() as conn:
        waiting = await sql.select_without_guide(conn, _AT_ONCE)
    for missing in waiting:
        advice = await guides.advise(missing.waste_type, missing.item_id)
        if advice.guide.state == "missing":
            return  # still away: the next slot tries again
        async with db.connection() as conn:
            await sql.update_guide(conn, missing, advice)
