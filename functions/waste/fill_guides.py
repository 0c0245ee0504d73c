"""Fills the guides of analyses that were finished while recycle-info was away."""

from functions.waste import db as sql
from functions.waste.guides import Guides
from shared.parts import Cache, Calls, Db
from shared.triggers import schedule

_AT_ONCE = 200


@schedule(every=60)
async def fill_guides(db: Db, calls: Calls, cache: Cache) -> None:
    guides = Guides(calls, cache)
    # Kinds that this installation's list has nothing of (yet): they must not keep the others waiting.
    unknown: list[str] = []
    while True:
        before = len(unknown)
        async with db.connection() as conn:
            waiting = await sql.select_without_guide(conn, _AT_ONCE, but=unknown)
        for missing in waiting:
            if missing.waste_type in unknown:
                continue
            advice = await guides.advise(missing.waste_type, missing.item_id)
            if advice.away:
                return  # the next slot tries again
            if advice.guide.state == "missing":
                unknown.append(missing.waste_type)
                continue
            async with db.connection() as conn:
                await sql.update_guide(conn, missing, advice)
        if len(unknown) == before:
            return
