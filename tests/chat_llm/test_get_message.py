"""One message of a conversation, for its owner"""

import httpx

from shared.db import Database
from shared.ids import new_id
from tests.chat_llm.conftest import ANSWER, BASE, ask, give, success
from tests.conftest import Person, Take


async def test_a_question_and_its_reply_are_read_one_by_one(
    client: httpx.AsyncClient, person: Person, chat: Database, take: Take
) -> None:
    asked = await ask(client, person, chat, "우유팩은?")
    question = await client.get(f"{BASE}/{asked.conversation}/messages/{asked.question}", headers=person.headers)
    assert (question.json()["role"], question.json()["content"]) == ("user", "우유팩은?")
    pending = await client.get(asked.path, headers=person.headers)
    assert (pending.json()["role"], pending.json()["status"]) == ("assistant", "pending")
    same = await client.get(asked.path, headers=person.headers | {"If-None-Match": pending.headers["etag"]})
    assert same.status_code == 304
    await give(take, success(asked))
    written = await client.get(asked.path, headers=person.headers | {"If-None-Match": pending.headers["etag"]})
    assert (written.status_code, written.json()["content"]) == (200, ANSWER)


async def test_a_message_that_is_not_there_is_404(client: httpx.AsyncClient, person: Person, chat: Database) -> None:
    asked = await ask(client, person, chat, "우유팩은?")
    path = f"{BASE}/{asked.conversation}/messages/{new_id()}"
    assert (await client.get(path, headers=person.headers)).status_code == 404
