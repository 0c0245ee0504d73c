"""Accepts a question: 202 with the reply that is going to be written, which the client reads or follows."""

from typing import Annotated, Any
from uuid import UUID

from litestar import Request, Response, post
from litestar.params import FromPath, JSONBody
from msgspec import Meta, Struct

from functions.chat_llm import db as sql
from functions.chat_llm import history, photos, places
from functions.chat_llm.create_conversation import PATH
from functions.chat_llm.messages import QuestionAnswered
from shared import clock, rates, spend
from shared.errors import NotFound, TooMany, Unavailable
from shared.fields import Status
from shared.http import LOCATION, Broker, Calls, CurrentUser, Db, Idem, Settings, problems
from shared.messages import AnswerQuestion
from shared.spend import DayUsedUp
from shared.tasks import enqueue
from shared.text import SEEN


class MessageRequest(Struct):
    """What the person says.

    Attributes:
        content: the question.
        analysis_id: an analysis of the person's own that it is about.
    """

    content: Annotated[str, Meta(min_length=1, max_length=4000, pattern=SEEN, examples=["우유팩은 어떻게 버려요?"])]
    analysis_id: UUID | None = None


class Reply(Struct):
    """The answer to come.

    Attributes:
        id: of the message that it will be.
        status: `pending`.
    """

    id: UUID
    status: Annotated[Status, Meta(examples=["pending"])]


class Exchange(Struct):
    """The question, kept, and its reply.

    Attributes:
        message: the question.
        reply: to be read or followed.
    """

    message: sql.Message
    reply: Reply


@post(
    "/conversations/{conversation_id:uuid}/messages",
    status_code=202,
    responses=problems(TooMany, DayUsedUp),
    response_headers=LOCATION,
    summary="Ask",
)
async def create_message(
    conversation_id: FromPath[UUID],
    data: JSONBody[MessageRequest],
    request: Request[Any, Any, Any],
    user: CurrentUser,
    db: Db,
    broker: Broker,
    calls: Calls,
    settings: Settings,
    idempotency: Idem,
) -> Response[Exchange]:
    seen: Response[Any] | None
    async with db.connection() as conn:
        # A repeat, and somebody else's conversation, must not cost a call to elsewhere.
        if (seen := await idempotency.find(conn)) is not None:
            return seen
        conversation = await sql.select_conversation(conn, conversation_id, user.id)
        if conversation is None:
            raise NotFound
        before, turns = None, []
        if conversation.message_count:
            before = await sql.select_photo(conn, conversation_id, history.TURNS)
            turns = history.within_budget(
                await sql.select_turns(conn, conversation_id, history.TURNS, history.TURN_CHARACTERS)
            )
    await rates.quota(broker, "messages", user.id, settings.quota_messages)
    await spend.check(broker, user.id)
    token = request.headers["Authorization"].partition(" ")[2]
    photo = (
        await photos.seen(calls, data.analysis_id, token)
        if data.analysis_id
        else await photos.seen_before(calls, before, token)
    )
    place, away = None, False
    if places.may_ask_the_way([data.content, *(turn.content for turn in turns[-4:] if turn.role == "user")]):
        try:
            place = await places.default_place(calls, token)
        except Unavailable:
            away = True  # the question is about more than a route, as a rule
    async with db.transaction() as conn:
        if (seen := await idempotency.claim(conn)) is not None:
            return seen
        position = await sql.update_for_exchange(conn, conversation_id, user.id, history.title_of(data.content))
        if position is None:
            raise NotFound
        message, reply = await sql.insert_exchange(
            conn, conversation_id, position, data.content, clock.now(), data.analysis_id
        )
        payer = spend.spender(user.id)
        task = AnswerQuestion(data.content, payer, turns, place, away, photo)
        await enqueue(conn, task, subject=reply.id, reply=QuestionAnswered, person=payer)
        headers = {"Location": f"{PATH}/{conversation_id}/messages/{reply.id}"}
        exchange = Exchange(message, Reply(reply.id, reply.status))
        return await idempotency.keep(conn, exchange, status=202, headers=headers)
