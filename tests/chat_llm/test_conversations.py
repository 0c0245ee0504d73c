"""Conversations over HTTP: begin, list, read, rename, delete."""

from typing import Any

import httpx
import pytest

from shared.db import Database
from tests.chat_llm.conftest import ANSWER, BASE, ask, begin, give, success, tasks_of
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


async def test_the_list_is_paged_newest_first(
    client: httpx.AsyncClient, person: Person, another_person: Person
) -> None:
    ids = [await begin(client, person) for _ in range(5)]
    await begin(client, another_person)
    seen, cursor = [], ""
    while True:
        page = (await client.get(f"{BASE}?limit=2{cursor}", headers=person.headers)).json()
        seen += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == ids[::-1]
    wrong = await client.get(f"{BASE}?cursor=nonsense", headers=person.headers)
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (400, "cursor")


async def test_a_conversation_is_renamed_unless_it_has_changed(client: httpx.AsyncClient, person: Person) -> None:
    path = f"{BASE}/{await begin(client, person)}"
    tag = (await client.get(path, headers=person.headers)).headers["etag"]
    renamed = await client.patch(path, json={"title": "새 제목"}, headers=person.headers | {"If-Match": tag})
    assert (renamed.status_code, renamed.json()["title"]) == (200, "새 제목")
    stale = await client.patch(path, json={"title": "더"}, headers=person.headers | {"If-Match": tag})
    assert stale.status_code == 412
    fresh = {"If-None-Match": renamed.headers["etag"]}
    assert (await client.get(path, headers=person.headers | fresh)).status_code == 304
    assert (await client.get(path, headers=person.headers)).json() == renamed.json()


@pytest.mark.parametrize("title", ["", "x" * 201, "nul\x00", 7])
async def test_a_title_that_can_not_be_kept_is_refused_by_name(
    client: httpx.AsyncClient, person: Person, title: Any
) -> None:
    path = f"{BASE}/{await begin(client, person)}"
    for answer in (
        await client.post(BASE, json={"title": title}, headers=person.headers),
        await client.patch(path, json={"title": title}, headers=person.headers),
    ):
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "title")


async def test_deleting_a_conversation_leaves_nothing_of_it(
    client: httpx.AsyncClient, person: Person, chat: Database
) -> None:
    asked = await ask(client, person, chat, "우유팩은?")
    path = f"{BASE}/{asked.conversation}"
    stale = await client.delete(path, headers=person.headers | {"If-Match": '"old"'})
    assert stale.status_code == 412
    assert (await client.delete(path, headers=person.headers)).status_code == 204
    assert (await client.get(path, headers=person.headers)).status_code == 404
    assert (await client.get(asked.path, headers=person.headers)).status_code == 404
    assert (await client.delete(path, headers=person.headers)).status_code == 404
    assert await tasks_of(chat, asked.reply) == []
    # The answer that was under way finds nobody.
    await give(chat, success(asked))
    async with chat.connection() as conn:
        cursor = await conn.execute(
            "SELECT count(*) FROM messages WHERE content = %s AND id = %s", [ANSWER, asked.reply]
        )
        assert await cursor.fetchone() == (0,)


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
