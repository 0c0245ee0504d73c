"""A person who is erased, with all that was said"""

import httpx

from functions.chat_llm import db as sql
from shared.db import Database
from shared.tasks import forget
from tests.chat_llm.conftest import BASE, ask, left_of
from tests.conftest import Person


async def test_erasing_a_person_deletes_all_of_theirs_and_nothing_else(
    client: httpx.AsyncClient, person: Person, another_person: Person, chat: Database
) -> None:
    mine = [await ask(client, person, chat, "내 질문") for _ in range(2)]
    theirs = await ask(client, another_person, chat, "남의 질문")
    headers = person.headers | {"Idempotency-Key": "kept"}
    await client.post(f"{BASE}/{mine[0].conversation}/messages", json={"content": "내 질문"}, headers=headers)
    async with chat.transaction() as conn:
        replies = await sql.delete_person(conn, person.id)
        await forget(conn, *replies)
    assert {asked.reply for asked in mine} < set(replies)
    assert theirs.reply not in replies
    assert await left_of(chat, "내 질문") == []
    assert await left_of(chat, str(person.id)) == []
    assert (await client.get(theirs.path, headers=another_person.headers)).status_code == 200
    async with chat.transaction() as conn:
        assert await sql.delete_person(conn, person.id) == []
