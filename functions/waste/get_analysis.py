"""One analysis of the person's own, as it is now."""

from uuid import UUID

from litestar import Response, get
from litestar.params import FromPath

from functions.waste import db as sql
from functions.waste.model import Analysis
from shared.errors import NotFound
from shared.http import Conditional, CurrentUser, Db


@get("/analyses/{analysis_id:uuid}", summary="Read an analysis")
async def get_analysis(
    analysis_id: FromPath[UUID], user: CurrentUser, db: Db, conditions: Conditional
) -> Response[Analysis]:
    async with db.connection() as conn:
        analysis = await sql.select_analysis(conn, analysis_id, user.id)
    if analysis is None:
        raise NotFound
    return conditions.answer(analysis)
