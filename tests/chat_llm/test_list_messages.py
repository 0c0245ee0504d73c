"""What was said, page by page"""

import httpx

from shared.db import Database
from tests.chat_llm.conftest import BASE, begin
from tests.conftest import Person


async def test_the_messages_are_paged_oldest_first_and_stand_still(
    client: httpx.AsyncClient, person: Person, chat: Database
) -> None:
    conversation = await begin(client, person)
    path = f"{BASE}/{conversation}/messages"
    for number in range(3):
        await client.post(path, json={"content": f"질문 {number}"}, headers=person.headers)
    first = (await client.get(f"{path}?limit=3", headers=person.headers)).json()
    # What is said meanwhile comes at the end and moves nothing.
    await client.post(path, json={"content": "질문 3"}, headers=person.headers)
    second = (await client.get(f"{path}?limit=3&cursor={first['next_cursor']}", headers=person.headers)).json()
    third = (await client.get(f"{path}?limit=3&cursor={second['next_cursor']}", headers=person.headers)).json()
    items = first["items"] + second["items"] + third["items"]
    assert [item["role"] for item in items] == ["user", "assistant"] * 4
    assert [item["content"] for item in items[::2]] == [f"질문 {number}" for number in range(4)]
    assert [item["position"] for item in items] == list(range(1, 9))
    assert third["next_cursor"] is None
    empty = (await client.get(f"{BASE}/{await begin(client, person)}/messages", headers=person.headers)).json()
    assert empty == {"items": [], "next_cursor": None}
