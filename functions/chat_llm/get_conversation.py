"""One of the person's conversations: its title and how many messages it has."""

from uuid import UUID

from litestar import Response, get
from litestar.params import FromPath

from functions.chat_llm import db as sql
from shared.errors import NotFound
from shared.http import Conditional, CurrentUser, Db


@get("/conversations/{conversation_id:uuid}", summary="Read a conversation")
async def get_conversation(
    conversation_id: FromPath[UUID], user: CurrentUser, db: Db, conditions: Conditional
) -> Response[sql.Conversation]:
    async with db.connection() as conn:
        conversation = await sql.select_conversation(conn, conversation_id, user.id)
    if conversation is None:
        raise NotFound
    return conditions.answer(conversation)
