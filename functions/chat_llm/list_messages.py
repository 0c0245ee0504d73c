"""The messages of a conversation, oldest first."""

from uuid import UUID

from litestar import get
from litestar.params import FromPath

from functions.chat_llm import db as sql
from shared.errors import NotFound
from shared.http import CurrentUser, Db, Page, PageQuery


@get("/conversations/{conversation_id:uuid}/messages", summary="List messages")
async def list_messages(
    conversation_id: FromPath[UUID], user: CurrentUser, db: Db, page: PageQuery
) -> Page[sql.Message]:
    after = page.after(int) or 0
    async with db.connection() as conn:
        if await sql.select_conversation(conn, conversation_id, user.id) is None:
            raise NotFound
        rows = await sql.select_messages(conn, conversation_id, after, page.limit + 1)
    return page.of(rows, key=lambda message: message.position)
