"""A person who is erased, with all that was said"""

import httpx
import pytest

from functions.chat_llm import db as sql
from functions.chat_llm.erase_person import erase_person
from shared.db import Database
from shared.errors import Unavailable
from shared.ids import new_id
from shared.messages import ErasePerson
from shared.progress import Publisher, stream
from shared.redis import connect, connect_async
from tests.chat_llm.conftest import BASE, Asked, ask, failure, give, success
from tests.conftest import Person, Take
from tests.support import left_of

MARK = "비밀"


async def come(how: str, asked: Asked, take: Take) -> None:
    """Let the answer be where it may be when all is to go: not there yet, there, failed and kept for a retry."""
    if how != "awaited":
        await give(take, success(asked, MARK) if how == "answered" else failure(asked))


@pytest.mark.parametrize("how", ["awaited", "answered", "failed"])
@pytest.mark.parametrize("what", ["the conversation", "the person"])
async def test_wherever_an_answer_is_a_deletion_leaves_nothing_of_it(
    client: httpx.AsyncClient,
    person: Person,
    chat: Database,
    publisher: Publisher,
    broker_url: str,
    take: Take,
    how: str,
    what: str,
) -> None:
    mark = f"{MARK} {person.id.hex}"
    asked = await ask(client, person, chat, mark)
    await come(how, asked, take)
    publisher.add(asked.reply, new_id(), "token", {"text": MARK, "index": 0})
    assert await left_of(chat, mark)
    if what == "the person":
        await take(erase_person, ErasePerson(person.id))
        assert await left_of(chat, str(person.id)) == []
    else:
        path = f"{BASE}/{asked.conversation}"
        assert (await client.delete(path, headers=person.headers)).status_code == 204
    for word in (mark, asked.conversation, str(asked.reply)):
        assert await left_of(chat, word) == []
    with connect(broker_url) as redis:
        assert redis.exists(stream(asked.reply)) == 0


async def test_without_the_broker_nothing_is_erased_yet_and_all_of_it_later(
    client: httpx.AsyncClient, person: Person, chat: Database
) -> None:
    asked = await ask(client, person, chat, "내 질문")
    async with connect_async("redis://127.0.0.1:1") as nowhere:
        with pytest.raises(Unavailable):
            await erase_person(ErasePerson(person.id), chat, nowhere)
    assert (await client.get(asked.path, headers=person.headers)).status_code == 200


async def test_erasing_a_person_deletes_all_of_theirs_and_nothing_else(
    client: httpx.AsyncClient, person: Person, another_person: Person, chat: Database, take: Take
) -> None:
    for _ in range(2):
        await ask(client, person, chat, "내 질문")
    conversation = (await ask(client, person, chat, "내 질문")).conversation
    theirs = await ask(client, another_person, chat, "남의 질문")
    headers = person.headers | {"Idempotency-Key": "kept"}
    await client.post(f"{BASE}/{conversation}/messages", json={"content": "내 질문"}, headers=headers)
    for _ in range(2):
        await take(erase_person, ErasePerson(person.id))
    assert await left_of(chat, str(person.id)) == []
    assert (await client.get(theirs.path, headers=another_person.headers)).status_code == 200
    async with chat.transaction() as conn:
        assert await sql.delete_person(conn, person.id) == []
