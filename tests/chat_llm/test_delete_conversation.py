"""A conversation that is deleted, with all that was said"""

import httpx

from shared.db import Database
from shared.ids import new_id
from shared.progress import Publisher, stream
from shared.redis import connect
from tests.chat_llm.conftest import BASE, ask, give, success, tasks_of
from tests.conftest import Person, Serve, Take
from tests.support import left_of


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
    with connect(broker_url) as redis:
        assert redis.exists(stream(asked.reply)) == 0
    # What the run sends on, and its answer, find no one.
    publisher.add(asked.reply, new_id(), "token", {"text": "비밀", "index": 1})
    await give(take, success(asked, "비밀"))
    assert await left_of(chat, "비밀") == []
    with connect(broker_url) as redis:
        assert redis.exists(stream(asked.reply)) == 0


async def test_a_conversation_is_deleted_while_the_broker_is_away(
    serve: Serve, person: Person, chat: Database, free_port: int
) -> None:
    client = await serve("chat_llm", BROKER_REDIS_URL=f"redis://127.0.0.1:{free_port}")
    asked = await ask(client, person, chat, "우유팩은?")
    path = f"{BASE}/{asked.conversation}"
    assert (await client.delete(path, headers=person.headers)).status_code == 204
    assert (await client.get(path, headers=person.headers)).status_code == 404
