"""Accepts a question: 202 with the reply that is going to be written, which the client reads or follows."""

from typing import Annotated, Any, Literal
from uuid import UUID

from litestar import Request, Response, post
from litestar.params import FromPath, JSONBody
from msgspec import Meta, Struct

from functions.chat_llm import db as sql
from functions.chat_llm import history, places
from functions.chat_llm.create_conversation import PATH
from shared import clock
from shared.errors import NotFound
from shared.http import Calls, CurrentUser, Db, Idem
from shared.ids import new_id
from shared.messages import AnswerQuestion
from shared.tasks import enqueue
from shared.text import NO_NUL


class MessageRequest(Struct):
    """What the person says."""

    content: Annotated[str, Meta(min_length=1, max_length=4000, pattern=NO_NUL, examples=["우유팩은 어떻게 버려요?"])]


class Reply(Struct):
    """The answer to come."""

    id: UUID
    status: Literal["pending", "success", "failure"]


class Exchange(Struct):
    """The question as it was kept, and its reply."""

    message: sql.Message
    reply: Reply


@post("/conversations/{conversation_id:uuid}/messages", status_code=202, summary="Ask")
async def create_message(
    conversation_id: FromPath[UUID],
    data: JSONBody[MessageRequest],
    request: Request[Any, Any, Any],
    user: CurrentUser,
    db: Db,
    calls: Calls,
    idempotency: Idem,
) -> Response[Exchange]:
    seen: Response[Any] | None
    async with db.connection() as conn:
        # A repeat, and somebody else's conversation, must not cost a call to elsewhere.
        if (seen := await idempotency.find(conn)) is not None:
            return seen
        if await sql.select_conversation(conn, conversation_id, user.id) is None:
            raise NotFound
        turns = history.within_budget(
            await sql.select_turns(conn, conversation_id, history.TURNS, history.TURN_CHARACTERS)
        )
    place = None
    if places.about_a_way([data.content, *(turn.content for turn in turns[-4:] if turn.role == "user")]):
        place = await places.default_place(calls, request.headers["Authorization"].partition(" ")[2])
    async with db.transaction() as conn:
        if (seen := await idempotency.claim(conn)) is not None:
            return seen
        position = await sql.update_for_exchange(conn, conversation_id, user.id, history.title_of(data.content))
        if position is None:
            raise NotFound
        now = clock.now()
        message = sql.Message(
            id=new_id(),
            role="user",
            content=data.content,
            status="success",
            position=position,
            created_at=now,
            completed_at=now,
        )
        reply = sql.Message(
            id=new_id(), role="assistant", content="", status="pending", position=position + 1, created_at=now
        )
        await sql.insert_messages(conn, conversation_id, message, reply)
        task = AnswerQuestion(question=data.content, history=turns, place=place)
        await enqueue(conn, task, subject=reply.id, reply="chat_llm/answered")
        headers = {"Location": f"{PATH}/{conversation_id}/messages/{reply.id}"}
        exchange = Exchange(message, Reply(reply.id, reply.status))
        return await idempotency.keep(conn, exchange, status=202, headers=headers)
