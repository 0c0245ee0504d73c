"""One message; a reply as far as it has come."""

from uuid import UUID

from litestar import Response, get
from litestar.params import FromPath

from functions.chat_llm import db as sql
from shared.errors import NotFound
from shared.http import Conditional, CurrentUser, Db


@get("/conversations/{conversation_id:uuid}/messages/{message_id:uuid}", summary="Read a message")
async def get_message(
    conversation_id: FromPath[UUID], message_id: FromPath[UUID], user: CurrentUser, db: Db, conditions: Conditional
) -> Response[sql.Message]:
    async with db.connection() as conn:
        message = await sql.select_message(conn, conversation_id, message_id, user.id)
    if message is None:
        raise NotFound
    return conditions.answer(message)
