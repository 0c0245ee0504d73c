"""Two who change the same conversation at the same time: one waits, and sees what the other has done"""

from typing import Any
from uuid import UUID

import httpx
import pytest

from functions.chat_llm import db as sql
from functions.chat_llm.erase_person import erase_person
from functions.chat_llm.messages import QuestionAnswered
from shared import clock
from shared.db import Connection, Database
from shared.ids import new_id
from shared.messages import AnswerQuestion, ErasePerson
from shared.progress import Publisher, stream
from shared.redis import connect
from shared.tasks import enqueue, forget
from tests.chat_llm.conftest import BASE, ask, begin, give, success
from tests.conftest import Person, Take
from tests.support import done_meanwhile, held_up, left_of, one_at_a_time


async def accept(conn: Connection, conversation: str, person: Person, question: str) -> None:
    """A question up to its commit."""
    position = await sql.update_for_exchange(conn, UUID(conversation), person.id, None)
    assert position is not None
    _, reply = await sql.insert_exchange(conn, UUID(conversation), position, question, clock.now())
    await enqueue(conn, AnswerQuestion(question, "nobody"), subject=reply.id, reply=QuestionAnswered)


@pytest.mark.parametrize("what", ["the conversation", "the person"])
async def test_a_question_that_is_accepted_while_all_is_deleted_leaves_nothing(
    client: httpx.AsyncClient, person: Person, chat: Database, take: Take, what: str
) -> None:
    conversation, mark = await begin(client, person, title="비밀 제목"), f"비밀 {person.id.hex}"
    deletion: Any = (
        client.delete(f"{BASE}/{conversation}", headers=person.headers)
        if what == "the conversation"
        else take(erase_person, ErasePerson(person.id))
    )
    async with chat.transaction() as conn:
        await accept(conn, conversation, person, mark)
        deleting = await held_up(deletion, by=conn)
    await deleting
    assert await left_of(chat, mark) == []
    assert await left_of(chat, conversation) == []


async def test_a_question_in_a_conversation_that_is_deleted_meanwhile_finds_none(
    client: httpx.AsyncClient, person: Person, chat: Database
) -> None:
    conversation, mark = await begin(client, person), f"비밀 {person.id.hex}"
    async with chat.transaction() as conn:
        await sql.delete_conversation(conn, UUID(conversation), person.id)
        asking = client.post(f"{BASE}/{conversation}/messages", json={"content": mark}, headers=person.headers)
        late = await held_up(asking, by=conn)
    assert (await late).status_code == 404
    assert await left_of(chat, mark) == []


async def test_a_title_that_changes_meanwhile_is_not_what_the_condition_names(
    client: httpx.AsyncClient, person: Person, chat: Database
) -> None:
    conversation = await begin(client, person, title="before")
    path = f"{BASE}/{conversation}"
    known = person.headers | {"If-Match": (await client.get(path, headers=person.headers)).headers["etag"]}
    async with chat.transaction() as conn:
        assert await sql.select_conversation_for_update(conn, UUID(conversation), person.id)
        second = await held_up(client.patch(path, json={"title": "second"}, headers=known), by=conn)
        await sql.update_title(conn, UUID(conversation), "first")
    assert (await second).status_code == 412
    assert (await client.get(path, headers=person.headers)).json()["title"] == "first"


async def test_an_answer_that_comes_while_its_conversation_is_deleted_leaves_no_tokens(
    client: httpx.AsyncClient, person: Person, chat: Database, publisher: Publisher, broker_url: str, take: Take
) -> None:
    asked = await ask(client, person, chat, "비밀 질문")
    publisher.add(asked.reply, new_id(), "token", {"text": "비밀", "index": 0})
    async with chat.transaction() as conn:
        await sql.select_reply_for_update(conn, asked.reply)
        await conn.send_queue()
        answering = await held_up(give(take, success(asked, "비밀")), by=conn)
        await forget(conn, *await sql.delete_conversation(conn, UUID(asked.conversation), person.id))
    await answering
    assert await left_of(chat, str(asked.reply)) == []
    with connect(broker_url) as redis:
        assert redis.exists(stream(asked.reply)) == 0


async def test_a_conversation_and_a_question_are_accepted_once_however_often_they_are_sent_at_the_same_instant(
    client: httpx.AsyncClient, person: Person, chat: Database
) -> None:
    await one_at_a_time(client, chat, person.id, person.headers, "POST", BASE, {"title": "Glas"})
    await done_meanwhile(client, chat, person.headers, "POST", BASE, {"title": "Glas"})
    assert (await client.get(BASE, headers=person.headers)).json()["items"] == []
    messages = f"{BASE}/{await begin(client, person)}/messages"
    await one_at_a_time(client, chat, person.id, person.headers, "POST", messages, {"content": "유리병은?"})
    await done_meanwhile(client, chat, person.headers, "POST", messages, {"content": "유리병은?"})
    assert (await client.get(messages, headers=person.headers)).json()["items"] == []
