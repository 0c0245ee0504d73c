"""Deletes an analysis; its images leave the store."""

from uuid import UUID

from litestar import delete
from litestar.params import FromPath

from functions.waste import db as sql
from shared.errors import NotFound, PreconditionFailed
from shared.http import Conditional, CurrentUser, Db, problems
from shared.messages import DeleteObjects
from shared.tasks import enqueue, forget


@delete(
    "/analyses/{analysis_id:uuid}",
    status_code=204,
    responses=problems(PreconditionFailed),
    summary="Delete an analysis",
)
async def delete_analysis(analysis_id: FromPath[UUID], user: CurrentUser, db: Db, conditions: Conditional) -> None:
    async with db.transaction() as conn:
        owner = await sql.select_owner_for_update(conn, analysis_id)
        analysis = await sql.select_analysis(conn, analysis_id, user.id)
        if analysis is None or owner is None:
            raise NotFound
        conditions.require(analysis)
        await sql.delete_analysis(conn, analysis_id)
        # Work still under way finds the row gone; its result deletes what it made (photo_processed).
        await forget(conn, analysis_id)
        message = DeleteObjects(keys=[owner.upload_key] if owner.upload_key else [], prefixes=[f"images/{analysis_id}"])
        await enqueue(conn, message, subject=analysis_id)
