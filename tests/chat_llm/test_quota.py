"""How many messages one person may send in a minute, in all of their conversations; another person has a minute of their own."""

from collections.abc import Awaitable, Callable

import httpx

from tests.conftest import Person

BASE = "/api/v1/chat/conversations"


async def test_messages_over_the_quota_are_429_but_a_repeat_is_answered(
    serve: Callable[..., Awaitable[httpx.AsyncClient]], person: Person, another_person: Person
) -> None:
    client = await serve("chat_llm", QUOTA_MESSAGES="2")
    one, other, theirs = [
        (await client.post(BASE, json={}, headers=who.headers)).json()["id"] for who in (person, person, another_person)
    ]

    async def ask(who: Person, conversation: str, key: str) -> int:
        headers = who.headers | {"Idempotency-Key": key}
        body = {"content": "페트병은?"}
        return (await client.post(f"{BASE}/{conversation}/messages", json=body, headers=headers)).status_code

    asked = [(one, "a"), (other, "b"), (one, "c"), (other, "d"), (one, "a")]
    assert [await ask(person, *question) for question in asked] == [202, 202, 429, 429, 202]
    assert await ask(another_person, theirs, "a") == 202


async def test_a_question_in_somebody_else_s_conversation_is_404_and_counts_for_nothing(
    serve: Callable[..., Awaitable[httpx.AsyncClient]], person: Person, another_person: Person
) -> None:
    client = await serve("chat_llm", QUOTA_MESSAGES="1")
    mine, theirs = [
        (await client.post(BASE, json={}, headers=who.headers)).json()["id"] for who in (person, another_person)
    ]
    for conversation, status in ((theirs, 404), (mine, 202)):
        body = {"content": "페트병은?"}
        answer = await client.post(f"{BASE}/{conversation}/messages", json=body, headers=person.headers)
        assert answer.status_code == status
