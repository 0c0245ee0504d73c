"""Gives a conversation another title."""

from uuid import UUID

from litestar import Response, patch
from litestar.params import FromPath, JSONBody
from msgspec import Struct

from functions.chat_llm import db as sql
from functions.chat_llm.create_conversation import Title
from shared.errors import NotFound, PreconditionFailed
from shared.http import Conditional, CurrentUser, Db, problems


class Renaming(Struct):
    """Another title.

    Attributes:
        title: in a few words.
    """

    title: Title


@patch("/conversations/{conversation_id:uuid}", responses=problems(PreconditionFailed), summary="Rename a conversation")
async def rename_conversation(
    conversation_id: FromPath[UUID], data: JSONBody[Renaming], user: CurrentUser, db: Db, conditions: Conditional
) -> Response[sql.Conversation]:
    async with db.transaction() as conn:
        conversation = await sql.select_conversation_for_update(conn, conversation_id, user.id)
        if conversation is None:
            raise NotFound
        conditions.require(conversation)
        await sql.update_title(conn, conversation_id, data.title)
        conversation.title = data.title
    return conditions.changed(conversation)
