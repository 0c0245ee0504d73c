"""A reply as it is written: Server-Sent Events until it is done or has failed."""

from collections.abc import AsyncIterator
from uuid import UUID

from litestar import get
from litestar.params import FromPath
from litestar.response import Stream

from functions.chat_llm import db as sql
from shared.errors import NotFound
from shared.events import follow, looking_at
from shared.http import CurrentUser, Db, LastEventId, ProgressHub, event_stream
from shared.progress import Restart, Token


@get(
    "/conversations/{conversation_id:uuid}/messages/{message_id:uuid}/events",
    responses=event_stream("Message", token=Token, restart=Restart, done=sql.Message, failed=sql.Message),
    summary="Follow a reply",
)
async def follow_message(
    conversation_id: FromPath[UUID],
    message_id: FromPath[UUID],
    user: CurrentUser,
    db: Db,
    hub: ProgressHub,
    last_event_id: LastEventId = None,
) -> Stream:
    async def select() -> sql.Message | None:
        async with db.connection() as conn:
            return await sql.select_message(conn, conversation_id, message_id, user.id)

    first = await select()
    if first is None:
        raise NotFound  # before the stream begins
    events: AsyncIterator[bytes] = follow(hub, message_id, looking_at(first, select), last_event_id, restart=True)
    return Stream(
        events, media_type="text/event-stream", headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    )
