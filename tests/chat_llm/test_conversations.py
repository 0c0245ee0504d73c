"""Conversations over HTTP: begin, list, read, rename, delete."""

from typing import Any

import httpx
import psycopg.sql
import pytest

from functions.chat_llm import db as sql
from shared.db import Database
from shared.ids import new_id
from shared.progress import Publisher, stream
from shared.redis import connect
from shared.tasks import forget
from tests.chat_llm.conftest import BASE, ask, begin, give, success, tasks_of
from tests.conftest import Person, Serve, Take


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
    client: httpx.AsyncClient, person: Person, chat: Database, publisher: Publisher, broker_url: str, take: Take
) -> None:
    key = {"Idempotency-Key": "kept"}
    begun = await client.post(BASE, json={"title": "비밀 제목"}, headers=person.headers | key)
    path = begun.headers["location"]
    await client.post(f"{path}/messages", json={"content": "비밀"}, headers=person.headers | key)
    asked = await ask(client, person, chat, "비밀 질문", begun.json()["id"])
    publisher.add(asked.reply, new_id(), "token", {"text": "비밀", "index": 0})
    stale = await client.delete(path, headers=person.headers | {"If-Match": '"old"'})
    assert stale.status_code == 412
    assert (await client.delete(path, headers=person.headers)).status_code == 204
    assert (await client.get(path, headers=person.headers)).status_code == 404
    assert (await client.get(asked.path, headers=person.headers)).status_code == 404
    assert (await client.delete(path, headers=person.headers)).status_code == 404
    assert await tasks_of(chat, asked.reply) == []
    # What the run sends on, and its answer, find nobody.
    publisher.add(asked.reply, new_id(), "token", {"text": "비밀", "index": 1})
    await give(take, success(asked, "비밀"))
    assert await left_of(chat, "비밀") == []
    with connect(broker_url) as redis:
        assert redis.exists(stream(asked.reply)) == 0


async def test_a_conversation_is_deleted_while_the_broker_is_away(serve: Serve, person: Person, free_port: int) -> None:
    client = await serve("chat_llm", BROKER_REDIS_URL=f"redis://127.0.0.1:{free_port}")
    path = f"{BASE}/{await begin(client, person)}"
    assert (await client.delete(path, headers=person.headers)).status_code == 204


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


async def left_of(chat: Database, marked: str) -> list[str]:
    """The tables of the schema in which the text still stands."""
    found = []
    async with chat.connection() as conn:
        cursor = await conn.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'chat_llm'")
        for (table,) in await cursor.fetchall():
            query = psycopg.sql.SQL("SELECT count(*) FROM {} t WHERE strpos(t::text, %s) > 0")
            row = await (await conn.execute(query.format(psycopg.sql.Identifier(table)), [marked])).fetchone()
            assert row is not None
            if row[0]:
                found.append(table)
    return found


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
