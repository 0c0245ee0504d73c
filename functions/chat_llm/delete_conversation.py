"""Deletes a conversation with its messages; replies still being written go nowhere."""

from uuid import UUID

from litestar import delete
from litestar.params import FromPath

from functions.chat_llm import db as sql
from shared.errors import NotFound, PreconditionFailed
from shared.http import Conditional, CurrentUser, Db, problems
from shared.tasks import forget


@delete(
    "/conversations/{conversation_id:uuid}",
    status_code=204,
    responses=problems(PreconditionFailed),
    summary="Delete a conversation",
)
async def delete_conversation(
    conversation_id: FromPath[UUID], user: CurrentUser, db: Db, conditions: Conditional
) -> None:
    async with db.transaction() as conn:
        conversation = await sql.select_conversation_for_update(conn, conversation_id, user.id)
        if conversation is None:
            raise NotFound
        conditions.require(conversation)
        replies = await sql.delete_conversation(conn, conversation_id)
        # Their tasks hold the questions; an answer that comes all the same finds no row (answered).
        await forget(conn, *replies)
