"""What one person may begin in a minute; another person has a minute of their own."""

from collections.abc import Awaitable, Callable

import httpx

from tests.conftest import Person

UPLOAD = {"content_type": "image/jpeg", "size_bytes": 1000}


async def test_uploads_over_the_quota_are_429_and_say_when(
    serve: Callable[..., Awaitable[httpx.AsyncClient]], person: Person, another_person: Person
) -> None:
    client = await serve("waste", QUOTA_UPLOADS="3")
    path = "/api/v1/waste/uploads"
    answers = [await client.post(path, json=UPLOAD, headers=person.headers) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [201, 201, 201, 429]
    assert 15 <= int(answers[3].headers["retry-after"]) <= 20
    assert (await client.post(path, json=UPLOAD, headers=another_person.headers)).status_code == 201


async def test_analyses_too(
    serve: Callable[..., Awaitable[httpx.AsyncClient]], person: Person, another_person: Person
) -> None:
    client = await serve("waste", QUOTA_ANALYSES="2")
    body = {"image_key": f"uploads/{person.id}/{'0' * 32}"}
    statuses = [
        (await client.post("/api/v1/waste/analyses", json=body, headers=who.headers)).status_code
        for who in (person, person, person, another_person)
    ]
    assert statuses == [404, 404, 429, 404]


async def test_whoever_has_used_up_one_of_the_two_has_the_other(
    serve: Callable[..., Awaitable[httpx.AsyncClient]], person: Person
) -> None:
    client = await serve("waste", QUOTA_UPLOADS="1", QUOTA_ANALYSES="1")
    body = {"image_key": f"uploads/{person.id}/{'0' * 32}"}
    statuses = [
        (await client.post(f"/api/v1/waste/{path}", json=json, headers=person.headers)).status_code
        for path, json in [("uploads", UPLOAD), ("analyses", body)] * 2
    ]
    assert statuses == [201, 404, 429, 429]
