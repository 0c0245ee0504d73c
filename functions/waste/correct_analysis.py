"""The person's own word on what the photo shows, kept beside the machine's answer."""

from uuid import UUID

from litestar import Response, patch
from litestar.params import FromPath, JSONBody
from msgspec import Struct

from functions.waste import db as sql
from functions.waste.model import Analysis
from shared.errors import NotFound, PreconditionFailed
from shared.http import Conditional, CurrentUser, Db, problems
from shared.waste_types import WasteType


class Correction(Struct):
    """What it is."""

    waste_type: WasteType


@patch("/analyses/{analysis_id:uuid}", responses=problems(PreconditionFailed), summary="Correct an analysis")
async def correct_analysis(
    analysis_id: FromPath[UUID], data: JSONBody[Correction], user: CurrentUser, db: Db, conditions: Conditional
) -> Response[Analysis]:
    async with db.transaction() as conn:
        await sql.select_owner_for_update(conn, analysis_id)
        analysis = await sql.select_analysis(conn, analysis_id, user.id)
        if analysis is None:
            raise NotFound
        conditions.require(analysis)
        await sql.update_correction(conn, analysis_id, data.waste_type)
        analysis.corrected_type = data.waste_type
    return conditions.changed(analysis)
