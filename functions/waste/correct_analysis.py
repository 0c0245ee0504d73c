"""The person's own word on what the photo shows, kept beside the machine's answer; the guide follows it."""

from uuid import UUID

from litestar import Response, patch
from litestar.params import FromPath, JSONBody
from msgspec import Struct

from functions.waste import db as sql
from functions.waste.guides import Guides
from functions.waste.model import Analysis
from shared.errors import NotFound, PreconditionFailed
from shared.http import Cache, Calls, Conditional, CurrentUser, Db, problems
from shared.waste_types import WasteType


class Correction(Struct):
    """What it is.

    Attributes:
        waste_type: any kind of waste, or one of `ask.options`.
    """

    waste_type: WasteType


@patch("/analyses/{analysis_id:uuid}", responses=problems(PreconditionFailed), summary="Correct an analysis")
async def correct_analysis(
    analysis_id: FromPath[UUID],
    data: JSONBody[Correction],
    user: CurrentUser,
    db: Db,
    calls: Calls,
    cache: Cache,
    conditions: Conditional,
) -> Response[Analysis]:
    async with db.connection() as conn:
        seen = await sql.select_analysis(conn, analysis_id, user.id)
    if seen is None:
        raise NotFound
    # Over HTTP, so outside of the transaction.
    advice = await Guides(calls, cache).advise(data.waste_type, seen.item_id)
    async with db.transaction() as conn:
        await sql.select_owner_for_update(conn, analysis_id)
        analysis = await sql.select_analysis(conn, analysis_id, user.id)
        if analysis is None:
            raise NotFound
        conditions.require(analysis)
        analysis.corrected_type = data.waste_type
        if analysis.analysis_result is not None:
            analysis.analysis_result.guide = advice.guide
        await sql.update_correction(conn, analysis)
    return conditions.changed(analysis)
