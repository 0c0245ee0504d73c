"""One conversation, for its owner"""

import httpx

from shared.db import Database
from tests.chat_llm.conftest import BASE, ask, begin
from tests.conftest import Person


async def test_nobody_reaches_another_persons_conversation(
    client: httpx.AsyncClient, person: Person, another_person: Person, chat: Database
) -> None:
    asked = await ask(client, person, chat, "우유팩은?")
    path, theirs = f"{BASE}/{asked.conversation}", another_person.headers
    answers = [
        await client.get(path, headers=theirs),
        await client.patch(path, json={"title": "mine"}, headers=theirs),
        await client.delete(path, headers=theirs),
        await client.get(f"{path}/messages", headers=theirs),
        await client.post(f"{path}/messages", json={"content": "?"}, headers=theirs),
        await client.get(asked.path, headers=theirs),
        await client.get(f"{asked.path}/events", headers=theirs),
    ]
    assert [answer.status_code for answer in answers] == [404] * 7
    # Nor through a conversation of one's own.
    own = await begin(client, another_person)
    through = f"{BASE}/{own}/messages/{asked.reply}"
    assert (await client.get(through, headers=theirs)).status_code == 404
    assert (await client.get(f"{through}/events", headers=theirs)).status_code == 404
    assert (await client.get(BASE, headers=theirs)).json()["items"][0]["id"] == own
    assert (await client.get(path, headers=person.headers)).json()["message_count"] == 2
    assert (await client.get(path)).status_code == 401
