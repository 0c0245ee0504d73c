"""The person's conversations, newest first."""

from datetime import datetime
from uuid import UUID

from litestar import get

from functions.chat_llm import db as sql
from shared.http import CurrentUser, Db, Page, PageQuery


@get("/conversations", summary="List conversations")
async def list_conversations(user: CurrentUser, db: Db, page: PageQuery) -> Page[sql.Conversation]:
    after = page.after(tuple[datetime, UUID])
    async with db.connection() as conn:
        rows = await sql.select_conversations(conn, user.id, after, page.limit + 1)
    return page.of(rows, key=lambda conversation: (conversation.created_at, conversation.id))
