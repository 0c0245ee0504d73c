"""Begins a conversation, with a title or without: the first question gives it one then."""

from typing import Annotated, Any

from litestar import Response, post
from litestar.params import JSONBody
from msgspec import Meta, Struct

from functions.chat_llm import db as sql
from shared import clock
from shared.http import LOCATION, CurrentUser, Db, Idem
from shared.ids import new_id
from shared.text import SEEN

PATH = "/api/v1/chat/conversations"
Title = Annotated[str, Meta(min_length=1, max_length=200, pattern=SEEN, examples=["분리배출 질문"])]


class ConversationRequest(Struct):
    """What it is about, if that is known already.

    Attributes:
        title: in a few words.
    """

    title: Title | None = None


@post("/conversations", status_code=201, response_headers=LOCATION, summary="Begin a conversation")
async def create_conversation(
    data: JSONBody[ConversationRequest], user: CurrentUser, db: Db, idempotency: Idem
) -> Response[sql.Conversation]:
    async with db.transaction() as conn:
        seen: Response[Any] | None = await idempotency.claim(conn)
        if seen is not None:
            return seen
        conversation = sql.Conversation(new_id(), data.title, clock.now(), message_count=0)
        await sql.insert_conversation(conn, conversation, user.id)
        headers = {"Location": f"{PATH}/{conversation.id}"}
        return await idempotency.keep(conn, conversation, status=201, headers=headers)
