"""The ai worker's answer, written"""

from uuid import UUID

import httpx
import msgspec

from shared.db import Database
from tests.chat_llm.conftest import ANSWER, BASE, MILK_CARTON, ask, failure, give, success
from tests.conftest import Person, Take


async def test_the_answer_is_written_with_its_sources(
    client: httpx.AsyncClient, person: Person, chat: Database, take: Take
) -> None:
    asked = await ask(client, person, chat, "우유팩은?")
    await give(take, success(asked))
    read = await client.get(asked.path, headers=person.headers)
    reply = read.json()
    assert (reply["status"], reply["content"]) == ("success", ANSWER)
    assert reply["sources"] == [{"item_id": str(MILK_CARTON.item_id), "name": "우유팩"}]
    assert (reply["provider"], reply["language"], reply["error"]) == ("embedded", "ko", None)
    same = await client.get(asked.path, headers=person.headers | {"If-None-Match": read.headers["etag"]})
    assert same.status_code == 304
    async with chat.connection() as conn:
        cursor = await conn.execute("SELECT count(*) FROM outbox WHERE subject = %s", [asked.reply])
        assert await cursor.fetchone() == (0,)


async def test_an_answer_that_comes_twice_changes_nothing(
    client: httpx.AsyncClient, person: Person, chat: Database, take: Take
) -> None:
    asked = await ask(client, person, chat, "우유팩은?")
    await give(take, success(asked))
    first = (await client.get(asked.path, headers=person.headers)).json()
    await give(take, success(asked, "something else"))
    assert (await client.get(asked.path, headers=person.headers)).json() == first


async def test_a_failure_is_told_and_a_later_success_outranks_it(
    client: httpx.AsyncClient, person: Person, chat: Database, take: Take
) -> None:
    asked = await ask(client, person, chat, "우유팩은?")
    await give(take, failure(asked))
    failed = (await client.get(asked.path, headers=person.headers)).json()
    assert (failed["status"], failed["content"], failed["error_code"]) == ("failure", "", "interrupted")
    assert failed["error"] == "The answer could not be written: please ask again."
    await give(take, success(asked))
    risen = (await client.get(asked.path, headers=person.headers)).json()
    assert (risen["status"], risen["content"], risen["error"]) == ("success", ANSWER, None)
    await give(take, failure(asked))
    assert (await client.get(asked.path, headers=person.headers)).json() == risen


async def test_an_outcome_never_touches_what_a_person_wrote(
    client: httpx.AsyncClient, person: Person, chat: Database, take: Take
) -> None:
    asked = await ask(client, person, chat, "우유팩은?")
    await give(take, msgspec.structs.replace(success(asked), subject=UUID(asked.question)))
    path = f"{BASE}/{asked.conversation}/messages/{asked.question}"
    assert (await client.get(path, headers=person.headers)).json()["content"] == "우유팩은?"
