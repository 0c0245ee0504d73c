"""A conversation that begins"""

import httpx

from tests.chat_llm.conftest import BASE
from tests.conftest import Person


async def test_a_conversation_begins_with_a_title_or_without(client: httpx.AsyncClient, person: Person) -> None:
    titled = await client.post(BASE, json={"title": "페트병"}, headers=person.headers)
    assert titled.status_code == 201
    body = titled.json()
    assert titled.headers["location"] == f"{BASE}/{body['id']}"
    assert (body["title"], body["message_count"]) == ("페트병", 0)
    untitled = await client.post(BASE, json={}, headers=person.headers)
    assert (untitled.status_code, untitled.json()["title"]) == (201, None)
    read = await client.get(titled.headers["location"], headers=person.headers)
    assert read.json() == body


async def test_a_conversation_begun_twice_with_one_key_is_one(client: httpx.AsyncClient, person: Person) -> None:
    headers = person.headers | {"Idempotency-Key": "first"}
    first = await client.post(BASE, json={"title": "a"}, headers=headers)
    again = await client.post(BASE, json={"title": "a"}, headers=headers)
    assert (again.status_code, again.json(), again.headers["location"]) == (
        201,
        first.json(),
        first.headers["location"],
    )
    assert len((await client.get(BASE, headers=person.headers)).json()["items"]) == 1
    other = await client.post(BASE, json={"title": "b"}, headers=headers)
    assert (other.status_code, other.json()["type"]) == (409, "urn:eco2:idempotency:key-reused")
