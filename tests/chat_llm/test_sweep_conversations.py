"""How long conversations are kept."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from uuid import UUID, uuid4

import pytest

from functions.chat_llm import db as sql
from functions.chat_llm import sweep_conversations as module
from functions.chat_llm.db import Conversation
from functions.chat_llm.messages import QuestionAnswered
from functions.chat_llm.sweep_conversations import sweep_conversations
from shared import clock
from shared.db import Database
from shared.ids import new_id
from shared.messages import AnswerQuestion
from shared.settings import Settings
from shared.tasks import enqueue
from tests.support import left_of

Later = Callable[[float], AbstractContextManager[None]]
A_DAY = 86_400.0


@pytest.fixture
async def chat(db: Callable[[str], object]) -> Database:
    return await db("chat-llm")  # type: ignore[misc,no-any-return]  # the fixture's own type is in conftest


async def conversation(chat: Database, person: UUID) -> UUID:
    async with chat.transaction() as conn:
        made = Conversation(new_id(), "t", clock.now(), 0)
        await sql.insert_conversation(conn, made, person)
    return made.id


async def say(chat: Database, person: UUID, id_: UUID) -> None:
    async with chat.transaction() as conn:
        position = await sql.update_for_exchange(conn, id_, person, None)
        assert position is not None
        await sql.insert_exchange(conn, id_, position, "q", clock.now())


async def kept(chat: Database, person: UUID) -> set[UUID]:
    async with chat.connection() as conn:
        return {one.id for one in await sql.select_conversations(conn, person, None, 100)}


async def test_by_default_they_are_kept(chat: Database, later: Later) -> None:
    person = uuid4()
    old = await conversation(chat, person)
    with later(A_DAY * 5000):
        await sweep_conversations(chat, Settings())
    assert await kept(chat, person) == {old}


async def test_those_go_that_no_one_has_added_to_and_their_messages_with_them(chat: Database, later: Later) -> None:
    person = uuid4()
    idle, empty, lively = [await conversation(chat, person) for _ in range(3)]
    for id_ in (idle, lively):
        await say(chat, person, id_)
    with later(A_DAY * 20):
        await say(chat, person, lively)
        new = await conversation(chat, person)
    with later(A_DAY * 31):
        await sweep_conversations(chat, Settings(keep_conversations_days=30))
    assert await kept(chat, person) == {lively, new}
    async with chat.connection() as conn:
        cursor = await conn.execute("SELECT count(*) FROM messages WHERE conversation_id = ANY(%s)", [[idle, empty]])
        assert await cursor.fetchone() == (0,)


async def test_a_run_gets_past_those_that_stay(chat: Database, later: Later, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH", 2)
    monkeypatch.setattr(module, "BATCHES", 3)
    person = uuid4()
    async with chat.connection() as conn:
        await conn.execute("DELETE FROM messages")
        await conn.execute("DELETE FROM conversations")
    old = sorted([await conversation(chat, person) for _ in range(6)])
    with later(A_DAY * 20):
        for id_ in old[:4]:
            await say(chat, person, id_)
    with later(A_DAY * 31):
        await sweep_conversations(chat, Settings(keep_conversations_days=30))
    assert await kept(chat, person) == set(old[:4])


async def test_one_that_is_being_added_to_stays(chat: Database, later: Later) -> None:
    person = uuid4()
    id_ = await conversation(chat, person)
    with later(A_DAY * 31):
        async with chat.transaction() as conn:
            position = await sql.update_for_exchange(conn, id_, person, None)
            assert position is not None
            await sweep_conversations(chat, Settings(keep_conversations_days=30))
            await sql.insert_exchange(conn, id_, position, "q", clock.now())
        await sweep_conversations(chat, Settings(keep_conversations_days=30))
    assert await kept(chat, person) == {id_}


async def test_a_question_that_is_still_to_be_answered_goes_with_its_conversation(chat: Database, later: Later) -> None:
    person, mark = uuid4(), uuid4().hex
    id_ = await conversation(chat, person)
    async with chat.transaction() as conn:
        position = await sql.update_for_exchange(conn, id_, person, None)
        assert position is not None
        _, reply = await sql.insert_exchange(conn, id_, position, mark, clock.now())
        await enqueue(conn, AnswerQuestion(mark, "nobody"), subject=reply.id, reply=QuestionAnswered)
    with later(A_DAY * 31):
        await sweep_conversations(chat, Settings(keep_conversations_days=30))
    assert await left_of(chat, mark) == []
