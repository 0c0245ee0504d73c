"""A question about a photo: the person's own analysis goes along, asked of the real api-waste with their own token."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID

import httpx
import pytest

from functions.chat_llm import db as sql
from functions.chat_llm import history
from functions.waste import db as waste_sql
from functions.waste.model import AnalysisResult, Ask, Candidate, Guide, NamedItem
from runtime.http.host import build
from shared import clock
from shared.db import Database
from shared.ids import new_id
from tests import support, web
from tests.chat_llm.conftest import BASE, begin, tasks_of
from tests.conftest import Person, Serve

UMBRELLA = NamedItem(new_id(), "우산")


@pytest.fixture
async def waste(environment: dict[str, str]) -> AsyncIterator[str]:
    """The address that api-waste answers on."""
    edge, _ = build(["waste"], environment, background=False, access_log=False)
    async with support.listening(edge) as address:
        yield address


@pytest.fixture
async def analyses(db: Callable[[str], Awaitable[Database]]) -> Database:
    return await db("waste")


async def analysed(analyses: Database, person: Person, *, done: bool = True) -> UUID:
    """A photo of a person's, seen as metal and an umbrella, perhaps plastic."""
    analysis_id = new_id()
    async with analyses.transaction() as conn:
        await waste_sql.insert_analysis(conn, analysis_id, person.id, f"uploads/{person.id}/{analysis_id}", clock.now())
        if done:
            result = AnalysisResult(
                [Candidate("metal", 0.7), Candidate("plastic", 0.2)],
                "embedded",
                "test",
                Guide(),
                UMBRELLA,
                Ask("금속인가요, 플라스틱인가요?", ["metal", "plastic"]),
            )
            await waste_sql.update_succeeded(conn, analysis_id, "metal", 0.7, result, clock.now())
    return analysis_id


async def post(client: httpx.AsyncClient, person: Person, analysis_id: object, **headers: str) -> httpx.Response:
    conversation = await begin(client, person)
    body = {"content": "이거 어떻게 버려?", "analysis_id": str(analysis_id)}
    return await client.post(f"{BASE}/{conversation}/messages", json=body, headers=person.headers | headers)


async def photo_of(chat: Database, answer: httpx.Response) -> Any:
    assert answer.status_code == 202, answer.text
    [(_, message)] = await tasks_of(chat, UUID(answer.json()["reply"]["id"]))
    return message["photo"]


async def test_what_an_analysis_says_goes_along_with_the_question(
    serve: Serve, person: Person, chat: Database, waste: str, analyses: Database
) -> None:
    client = await serve("chat_llm", SERVICE_URLS=f"api-location=http://127.0.0.1:9,api-waste={waste}")
    answer = await post(client, person, await analysed(analyses, person))
    assert await photo_of(chat, answer) == {
        "status": "success",
        "waste_type": "metal",
        "confidence": 0.7,
        "chosen": False,
        "candidates": [{"waste_type": "metal", "confidence": 0.7}, {"waste_type": "plastic", "confidence": 0.2}],
        "item_id": str(UMBRELLA.id),
        "ask": "금속인가요, 플라스틱인가요?",
        "turns_ago": 0,
    }


async def test_a_photo_stays_with_its_conversation(
    serve: Serve, person: Person, chat: Database, waste: str, analyses: Database
) -> None:
    client = await serve("chat_llm", SERVICE_URLS=f"api-location=http://127.0.0.1:9,api-waste={waste}")
    path = f"{BASE}/{await begin(client, person)}/messages"
    first, other = [await analysed(analyses, person) for _ in range(2)]
    bodies = [
        {"content": "이거 어떻게 버려?", "analysis_id": str(first)},
        {"content": "왜 금속이야?"},
        {"content": "씻어야 돼?"},
        {"content": "이건?", "analysis_id": str(other)},
        {"content": "왜?"},
    ]
    bodies += [{"content": "또?"}] * (history.TURNS // 2)
    answers = [await client.post(path, json=body, headers=person.headers) for body in bodies]
    *photos, long_ago = [await photo_of(chat, answer) for answer in answers]
    assert [photo["turns_ago"] for photo in photos] == [0, 1, 2, *range(history.TURNS // 2 + 1)]
    assert {photo["waste_type"] for photo in photos} == {"metal"}
    assert long_ago is None, "its question does not go along any more either"


async def test_a_photo_of_before_that_is_gone_or_out_of_reach_costs_no_answer(
    serve: Serve, person: Person, chat: Database, waste: str, analyses: Database, free_port: int
) -> None:
    near = f"api-location=http://127.0.0.1:9,api-waste={waste}"
    away = f"api-location=http://127.0.0.1:9,api-waste=http://127.0.0.1:{free_port}"
    client = await serve("chat_llm", SERVICE_URLS=near)
    path = f"{BASE}/{await begin(client, person)}/messages"
    analysis_id = await analysed(analyses, person)
    body = {"content": "이거 어떻게 버려?", "analysis_id": str(analysis_id)}
    assert (await client.post(path, json=body, headers=person.headers)).status_code == 202
    cut = await serve("chat_llm", SERVICE_URLS=away)
    assert await photo_of(chat, await cut.post(path, json={"content": "왜?"}, headers=person.headers)) is None
    async with analyses.transaction() as conn:
        await conn.execute("DELETE FROM analyses WHERE id = %s", [analysis_id])
    assert await photo_of(chat, await client.post(path, json={"content": "왜?"}, headers=person.headers)) is None


async def test_what_the_person_chose_counts_and_leaves_nothing_to_ask(
    serve: Serve, person: Person, chat: Database, waste: str, analyses: Database
) -> None:
    client = await serve("chat_llm", SERVICE_URLS=f"api-location=http://127.0.0.1:9,api-waste={waste}")
    analysis_id = await analysed(analyses, person)
    async with web.AsyncClient(base_url=waste, headers=person.headers) as own:
        mended = await own.patch(f"/api/v1/waste/analyses/{analysis_id}", json={"waste_type": "plastic"})
    assert mended.status_code == 200, mended.text
    photo = await photo_of(chat, await post(client, person, analysis_id))
    assert (photo["waste_type"], photo["chosen"], photo["ask"]) == ("plastic", True, "")


async def test_a_photo_that_is_still_looked_at_goes_along_as_pending(
    serve: Serve, person: Person, chat: Database, waste: str, analyses: Database
) -> None:
    client = await serve("chat_llm", SERVICE_URLS=f"api-location=http://127.0.0.1:9,api-waste={waste}")
    photo = await photo_of(chat, await post(client, person, await analysed(analyses, person, done=False)))
    assert (photo["status"], photo["waste_type"]) == ("pending", None)


async def test_another_persons_analysis_and_none_at_all_are_not_found(
    serve: Serve, person: Person, another_person: Person, chat: Database, waste: str, analyses: Database
) -> None:
    client = await serve("chat_llm", SERVICE_URLS=f"api-location=http://127.0.0.1:9,api-waste={waste}")
    for analysis_id in (await analysed(analyses, another_person), new_id()):
        answer = await post(client, person, analysis_id)
        assert (answer.status_code, answer.json()["type"]) == (404, "urn:eco2:not-found")
    async with chat.connection() as conn:
        cursor = await conn.execute(
            "SELECT count(*) FROM messages m JOIN conversations c ON c.id = m.conversation_id WHERE c.user_id = %s",
            [person.id],
        )
        assert await cursor.fetchone() == (0,)


async def test_an_id_that_is_none_is_bad_input(serve: Serve, person: Person, waste: str) -> None:
    client = await serve("chat_llm", SERVICE_URLS=f"api-location=http://127.0.0.1:9,api-waste={waste}")
    answer = await post(client, person, "the-photo")
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "analysis_id"


async def test_without_api_waste_a_question_about_a_photo_waits(serve: Serve, person: Person, free_port: int) -> None:
    client = await serve(
        "chat_llm", SERVICE_URLS=f"api-location=http://127.0.0.1:9,api-waste=http://127.0.0.1:{free_port}"
    )
    answer = await post(client, person, new_id())
    assert answer.status_code == 503
    assert "retry-after" in answer.headers


async def test_the_same_question_about_another_photo_is_another_request(
    serve: Serve, person: Person, waste: str, analyses: Database
) -> None:
    client = await serve("chat_llm", SERVICE_URLS=f"api-location=http://127.0.0.1:9,api-waste={waste}")
    conversation = await begin(client, person)
    path, headers = f"{BASE}/{conversation}/messages", person.headers | {"Idempotency-Key": "one"}
    bodies = [{"content": "이거?", "analysis_id": str(await analysed(analyses, person))} for _ in range(2)]
    answers = [await client.post(path, json=body, headers=headers) for body in (*bodies, bodies[0])]
    assert [answer.status_code for answer in answers] == [202, 409, 202]


async def test_a_photo_is_remembered_for_as_many_messages_as_go_along_and_no_longer(
    client: httpx.AsyncClient, person: Person, chat: Database
) -> None:
    conversation, analysis = UUID(await begin(client, person)), new_id()
    async with chat.transaction() as conn:
        for number in range(history.TURNS // 2 + 1):
            position = await sql.update_for_exchange(conn, conversation, person.id, None)
            assert position is not None
            about = None if number else analysis
            await sql.insert_exchange(conn, conversation, position, "?", clock.now(), about)
            found = await sql.select_photo(conn, conversation, history.TURNS)
            assert found == ((analysis, number + 1) if number < history.TURNS // 2 else None)
