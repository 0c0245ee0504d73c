"""An analysis as it happens: Server-Sent Events until it is done or has failed."""

from collections.abc import AsyncIterator
from uuid import UUID

from litestar import get
from litestar.params import FromPath
from litestar.response import Stream

from functions.waste import db as sql
from functions.waste.model import Analysis
from shared.errors import NotFound
from shared.events import follow, looking_at
from shared.http import CurrentUser, Db, LastEventId, ProgressHub, event_stream
from shared.progress import Stage


@get(
    "/analyses/{analysis_id:uuid}/events",
    responses=event_stream("Analysis", progress=Stage, done=Analysis, failed=Analysis),
    summary="Follow an analysis",
)
async def follow_analysis(
    analysis_id: FromPath[UUID],
    user: CurrentUser,
    db: Db,
    hub: ProgressHub,
    last_event_id: LastEventId = None,
) -> Stream:
    async def select() -> Analysis | None:
        async with db.connection() as conn:
            return await sql.select_analysis(conn, analysis_id, user.id)

    first = await select()
    if first is None:
        raise NotFound  # before the stream begins
    events: AsyncIterator[bytes] = follow(hub, analysis_id, looking_at(first, select), last_event_id)
    return Stream(
        events, media_type="text/event-stream", headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    )
