"""Looks for objects that no row owns: left by a deletion under way in a FLUSHALL, a restored database, a killed worker.

One page of the store a run, from where the last run ended: a bucket of a million objects is gone through in days, and never
listed as a whole. What is not waste's may be userinfo's, which is asked (`find_strangers`); `strangers_found` removes the rest.
The page is read before the rows: an object's row is committed before its task is sent, so an object in the page that has no row
afterwards has lost it, and no row comes back.
"""

import asyncio
import re
from datetime import timedelta

from functions.waste import db as sql
from functions.waste.messages import StrangersFound
from shared import clock
from shared.ids import new_id
from shared.messages import FindStrangers
from shared.parts import Db, Objects
from shared.tasks import enqueue
from shared.triggers import schedule

# Objects in one answer of the store, and so in one step.
PAGE = 1000
# Younger ones are left alone: a deletion that is still to be delivered, a restore that is still to be finished.
GRACE = timedelta(days=3)
PREFIXES = ("images/", "uploads/")
_UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
# What no service of ours would have written is not ours to remove.
_OURS = re.compile(f"(?:images|uploads)/{_UUID}/[^/]+")


@schedule(every=300)
async def sweep_objects(db: Db, objects: Objects) -> None:
    for prefix in PREFIXES:
        async with db.connection() as conn:
            after = await sql.select_sweep(conn, prefix, clock.now())
        page = await asyncio.to_thread(objects.page, prefix, after, PAGE)
        oldest = clock.now() - GRACE
        old = [found.key for found in page if found.modified_at < oldest and _OURS.fullmatch(found.key)]
        async with db.transaction() as conn:
            if keys := await sql.select_not_ours(conn, old):
                await enqueue(conn, FindStrangers(keys=keys), subject=new_id(), reply=StrangersFound)
            # A shorter page is the last one: the next run begins a new round.
            reached = page[-1].key if len(page) == PAGE else ""
            await sql.update_sweep(conn, prefix, reached, len(page), clock.now())
