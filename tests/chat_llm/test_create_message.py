"""A question that is accepted, with what was said before"""

import asyncio
from typing import Any

import httpx
import pytest

from functions.chat_llm import history
from shared import spend
from shared.db import Database
from shared.messages import Turn
from shared.redis import connect
from tests.chat_llm.conftest import BASE, Location, ask, begin, failure, give, success
from tests.conftest import Person, Serve, Take


async def test_a_question_is_accepted_with_the_reply_to_come(
    client: httpx.AsyncClient, person: Person, chat: Database
) -> None:
    conversation = await begin(client, person)
    answer = await client.post(
        f"{BASE}/{conversation}/messages", json={"content": "우유팩은 어떻게 버려요?"}, headers=person.headers
    )
    assert answer.status_code == 202
    body = answer.json()
    message = body["message"]
    assert (message["role"], message["content"], message["status"]) == ("user", "우유팩은 어떻게 버려요?", "success")
    assert body["reply"]["status"] == "pending"
    assert answer.headers["location"] == f"{BASE}/{conversation}/messages/{body['reply']['id']}"
    reply = (await client.get(answer.headers["location"], headers=person.headers)).json()
    assert (reply["role"], reply["content"], reply["status"], reply["sources"]) == ("assistant", "", "pending", [])


async def test_a_question_sent_twice_with_one_key_is_asked_once(
    client: httpx.AsyncClient, person: Person, chat: Database
) -> None:
    conversation = await begin(client, person)
    path, headers = f"{BASE}/{conversation}/messages", person.headers | {"Idempotency-Key": "once"}
    first = await client.post(path, json={"content": "캔은?"}, headers=headers)
    again = await client.post(path, json={"content": "캔은?"}, headers=headers)
    assert (again.status_code, again.json(), again.headers["location"]) == (
        202,
        first.json(),
        first.headers["location"],
    )
    assert (await client.get(f"{BASE}/{conversation}", headers=person.headers)).json()["message_count"] == 2
    other = await client.post(path, json={"content": "병은?"}, headers=headers)
    assert (other.status_code, other.json()["type"]) == (409, "urn:eco2:idempotency:key-reused")


async def test_questions_at_the_same_instant_get_places_of_their_own(client: httpx.AsyncClient, person: Person) -> None:
    conversation = await begin(client, person)
    path = f"{BASE}/{conversation}/messages"
    answers = await asyncio.gather(
        *(client.post(path, json={"content": f"{n}"}, headers=person.headers) for n in range(8))
    )
    assert [answer.status_code for answer in answers] == [202] * 8
    items = (await client.get(f"{path}?limit=100", headers=person.headers)).json()["items"]
    assert [item["position"] for item in items] == list(range(1, 17))
    assert [item["role"] for item in items] == ["user", "assistant"] * 8


@pytest.mark.parametrize("content", ["", " \n", "\u200b", "가" * 4001, "a\x00b", " " * 3999 + "\x00", 5, None])
async def test_content_that_can_not_be_kept_is_refused_by_name(
    client: httpx.AsyncClient, person: Person, content: Any
) -> None:
    path = f"{BASE}/{await begin(client, person)}/messages"
    answer = await client.post(path, json={"content": content}, headers=person.headers)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "content")
    missing = await client.post(path, json={}, headers=person.headers)
    assert missing.json()["errors"][0] == {"field": "content", "message": "is required"}


@pytest.mark.parametrize("content", ["가" * 4000, "😀" * 4000, " a", "a\nb\n", "Ünï‮"])
async def test_every_other_text_is_kept_as_it_is(client: httpx.AsyncClient, person: Person, content: str) -> None:
    path = f"{BASE}/{await begin(client, person)}/messages"
    answer = await client.post(path, json={"content": content}, headers=person.headers)
    assert (answer.status_code, answer.json()["message"]["content"]) == (202, content)


async def test_the_first_question_gives_a_title_where_none_was_given(
    client: httpx.AsyncClient, person: Person, chat: Database
) -> None:
    asked = await ask(client, person, chat, "우유팩은\n어떻게  버려요?")
    await ask(client, person, chat, "그럼 캔은?", asked.conversation)
    path = f"{BASE}/{asked.conversation}"
    assert (await client.get(path, headers=person.headers)).json()["title"] == "우유팩은 어떻게 버려요?"
    titled = await begin(client, person, title="내 제목")
    await ask(client, person, chat, "캔은?", titled)
    assert (await client.get(f"{BASE}/{titled}", headers=person.headers)).json()["title"] == "내 제목"


def test_a_title_ends_after_a_word_and_within_its_limit() -> None:
    assert history.title_of("  \n ") is None
    assert history.title_of("word " * 40) == "word " * 10 + "word…"
    assert history.title_of("가" * 60) == "가" * 60
    for longer in (61, 300):
        assert history.title_of("가" * longer) == "가" * 59 + "…"


async def test_a_follow_up_carries_what_was_said(
    client: httpx.AsyncClient, person: Person, chat: Database, take: Take
) -> None:
    first = await ask(client, person, chat, "생수병은?")
    assert first.message["history"] == []
    pending = await ask(client, person, chat, "뚜껑은?", first.conversation)
    assert [turn["content"] for turn in pending.message["history"]] == ["생수병은?"]
    await give(take, success(first, "라벨을 떼고 투명 페트병에 넣어요."))
    await give(take, failure(pending))
    third = await ask(client, person, chat, "그럼 라벨은?", first.conversation)
    assert [(turn["role"], turn["content"]) for turn in third.message["history"]] == [
        ("user", "생수병은?"),
        ("assistant", "라벨을 떼고 투명 페트병에 넣어요."),
        ("user", "뚜껑은?"),
    ]
    assert third.message["question"] == "그럼 라벨은?"


async def test_history_is_cut_to_its_budget(client: httpx.AsyncClient, person: Person, chat: Database) -> None:
    asked = await ask(client, person, chat, "0" * 4000)
    for number in range(1, 8):
        asked = await ask(client, person, chat, str(number) * 4000, asked.conversation)
    kept = asked.message["history"]
    assert [turn["content"][0] for turn in kept] == ["3", "4", "5", "6"]
    assert sum(len(turn["content"]) for turn in kept) <= history.CHARACTERS


async def test_of_many_short_turns_the_last_go_along_and_no_more_than_so_many(
    client: httpx.AsyncClient, person: Person, chat: Database
) -> None:
    first, most = await ask(client, person, chat, "0"), 3 * history.TURNS
    async with chat.connection() as conn:
        await conn.execute(
            """
            INSERT INTO messages (id, conversation_id, role, content, status, position, created_at)
            SELECT gen_random_uuid(), %s, 'user', n::text, 'success', 100 + n, now()
            FROM generate_series(1, %s) AS n
            """,
            [first.conversation, most],
        )
    asked = await ask(client, person, chat, "그럼?", first.conversation)
    said = [turn["content"] for turn in asked.message["history"]]
    assert said == [str(number) for number in range(most + 1 - history.TURNS, most + 1)]


def test_history_begins_with_what_the_person_said() -> None:
    turns = [Turn("user", "b"), Turn("assistant", "x" * 10), Turn("assistant", "y"), Turn("user", "z" * 4000)]
    assert history.within_budget(turns) == [Turn("user", "b")]


async def test_a_question_is_accepted_while_the_broker_is_away(
    serve: Serve, person: Person, chat: Database, free_port: int, take: Take
) -> None:
    client = await serve("chat_llm", BROKER_REDIS_URL=f"redis://127.0.0.1:{free_port}")
    asked = await ask(client, person, chat, "우유팩은?")
    await give(take, success(asked))
    events = await client.get(f"{asked.path}/events", headers=person.headers)
    assert "event: done" in events.text


async def test_who_has_used_up_the_day_is_told_when_to_come_again(
    client: httpx.AsyncClient, person: Person, another_person: Person, chat: Database, broker_url: str
) -> None:
    # What the worker does when it can't reserve enough.
    redis = connect(broker_url)
    purse = spend.Purse(redis, spend.Limits(10, 10), spend.Limits(10**9, 10**9))
    assert purse.reserve(spend.spender(person.id), 11, 0) is None
    redis.close()
    path = f"{BASE}/{await begin(client, person)}/messages"
    refused = await client.post(path, json={"content": "우유팩은?"}, headers=person.headers)
    assert (refused.status_code, refused.json()["type"]) == (429, "urn:eco2:ai:day-used-up")
    assert int(refused.headers["retry-after"]) > 0
    asked = await ask(client, another_person, chat, "우유팩은?")
    assert asked.message["spender"] == spend.spender(another_person.id)
    async with chat.connection() as conn:
        cursor = await conn.execute("SELECT person FROM outbox WHERE id = %s", [asked.task])
        assert await cursor.fetchone() == (spend.spender(another_person.id),), "it waits in its person's turn"
    assert str(another_person.id) not in str(asked.message)


async def test_a_question_is_accepted_while_the_broker_says_nothing(
    serve: Serve, person: Person, chat: Database, location: Location
) -> None:
    # Whatever it is, it accepts connections and never answers.
    location.silent = True
    client = await serve("chat_llm", BROKER_REDIS_URL=location.url.replace("http", "redis"))
    await ask(client, person, chat, "우유팩은?")
