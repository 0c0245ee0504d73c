"""Deletes a conversation with its messages; replies still being written go nowhere."""

from contextlib import suppress
from uuid import UUID

from litestar import delete
from litestar.params import FromPath

from functions.chat_llm import db as sql
from shared import progress
from shared.errors import NotFound, PreconditionFailed, Unavailable
from shared.http import Broker, Conditional, CurrentUser, Db, problems
from shared.tasks import forget


@delete(
    "/conversations/{conversation_id:uuid}",
    status_code=204,
    responses=problems(PreconditionFailed),
    summary="Delete a conversation",
)
async def delete_conversation(
    conversation_id: FromPath[UUID], user: CurrentUser, db: Db, broker: Broker, conditions: Conditional
) -> None:
    async with db.transaction() as conn:
        conversation = await sql.select_conversation_for_update(conn, conversation_id, user.id)
        if conversation is None:
            raise NotFound
        conditions.require(conversation)
        replies = await sql.delete_conversation(conn, conversation_id, user.id)
        # Their tasks hold the questions; an answer that comes all the same finds no row (answered).
        await forget(conn, *replies)
    # With the broker away they end by themselves within a day.
    with suppress(Unavailable):
        await progress.forget(broker, *replies)
