"""userinfo's answer: which of the objects that waste does not know it does not know either. These are removed."""

import logging

from functions.waste import db as sql
from functions.waste.messages import StrangersFound
from shared.ids import new_id
from shared.messages import DeleteObjects, Outcome, Strangers, convert
from shared.parts import Db
from shared.tasks import enqueue, settle
from shared.triggers import queue

log = logging.getLogger(__name__)


@queue(StrangersFound)
async def strangers_found(outcome: Outcome, db: Db) -> None:
    async with db.transaction() as conn:
        if not await settle(conn, outcome) or outcome.status != "success":
            return  # told before; or the next round finds them again
        keys = await sql.select_not_ours(conn, convert(outcome.record, Strangers).keys)
        if not keys:
            return
        await enqueue(conn, DeleteObjects(keys=keys), subject=new_id())
        await sql.update_removed(conn, keys)
    log.warning("%d objects without an owner are removed, the first is %s", len(keys), keys[0])
