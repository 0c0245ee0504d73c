"""A person's places"""

import asyncio
from typing import Any

import httpx
import psycopg
import pytest

from shared.db import Database
from shared.ids import new_id
from tests.conftest import Person
from tests.location.conftest import PLACES

HOME = {"name": "집", "address": "서울특별시 중구 세종대로 110", "latitude": 37.5663, "longitude": 126.9779}


async def add(client: httpx.AsyncClient, person: Person, **changed: Any) -> dict[str, Any]:
    answer = await client.post(PLACES, json=HOME | changed, headers=person.headers)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def defaults(client: httpx.AsyncClient, person: Person) -> list[str]:
    items = (await client.get(PLACES, params={"limit": 100}, headers=person.headers)).json()["items"]
    return [item["name"] for item in items if item["is_default"]]


async def test_a_place_reads_as_it_was_written(location: httpx.AsyncClient, person: Person) -> None:
    place = await add(location, person)
    assert set(place) == {"id", "name", "address", "latitude", "longitude", "is_default", "created_at"}
    assert {key: place[key] for key in HOME} == HOME
    assert place["is_default"] is False
    read = await location.get(f"{PLACES}/{place['id']}", headers=person.headers)
    assert read.json() == place
    again = await location.get(
        f"{PLACES}/{place['id']}", headers=person.headers | {"If-None-Match": read.headers["ETag"]}
    )
    assert again.status_code == 304


async def test_a_place_may_have_no_coordinates_but_not_half(location: httpx.AsyncClient, person: Person) -> None:
    place = await add(location, person, latitude=None, longitude=None)
    assert place["latitude"] is None
    half = await location.post(PLACES, json=HOME | {"longitude": None}, headers=person.headers)
    assert half.status_code == 400
    assert half.json()["errors"][0]["field"] == "longitude"


@pytest.mark.parametrize(
    ("field", "value"),
    [("name", ""), ("name", "가" * 101), ("name", "a\x00"), ("address", ""), ("latitude", 91), ("longitude", -181)],
)
async def test_a_value_out_of_range_is_named(
    location: httpx.AsyncClient, person: Person, field: str, value: Any
) -> None:
    answer = await location.post(PLACES, json=HOME | {field: value}, headers=person.headers)
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [field]


async def test_places_are_listed_newest_first_and_page_by_page(location: httpx.AsyncClient, person: Person) -> None:
    names = [(await add(location, person, name=f"곳 {number}"))["name"] for number in range(5)]
    seen: list[str] = []
    cursor = None
    while True:
        params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await location.get(PLACES, params=params, headers=person.headers)).json()
        seen += [item["name"] for item in page["items"]]
        if (cursor := page["next_cursor"]) is None:
            break
    assert seen == names[::-1]


async def test_a_person_s_places_are_not_there_for_another(
    location: httpx.AsyncClient, person: Person, another_person: Person
) -> None:
    place = await add(location, person)
    path = f"{PLACES}/{place['id']}"
    for answer in (
        await location.get(path, headers=another_person.headers),
        await location.patch(path, json={"name": "내 것"}, headers=another_person.headers),
        await location.delete(path, headers=another_person.headers),
        await location.get(f"{PLACES}/{new_id()}", headers=another_person.headers),
    ):
        assert answer.status_code == 404
        assert answer.json()["type"] == "urn:eco2:not-found"
    assert (await location.get(PLACES, headers=another_person.headers)).json()["items"] == []
    assert (await location.get(path, headers=person.headers)).json()["name"] == HOME["name"]


async def test_nobody_has_places_without_a_token(location: httpx.AsyncClient) -> None:
    for answer in (await location.get(PLACES), await location.post(PLACES, json=HOME)):
        assert answer.status_code == 401


async def test_a_change_keeps_what_it_does_not_name_and_null_takes_coordinates_away(
    location: httpx.AsyncClient, person: Person
) -> None:
    place = await add(location, person)
    path = f"{PLACES}/{place['id']}"
    renamed = await location.patch(path, json={"name": "회사"}, headers=person.headers)
    assert renamed.json() == place | {"name": "회사"}
    half = await location.patch(path, json={"latitude": None}, headers=person.headers)
    assert half.status_code == 400
    bare = await location.patch(path, json={"latitude": None, "longitude": None}, headers=person.headers)
    assert (bare.json()["latitude"], bare.json()["longitude"]) == (None, None)


async def test_a_stale_change_and_a_stale_deletion_are_refused(location: httpx.AsyncClient, person: Person) -> None:
    place = await add(location, person, is_default=True)
    path = f"{PLACES}/{place['id']}"
    tag = (await location.get(path, headers=person.headers)).headers["ETag"]
    fresh = person.headers | {"If-Match": tag}
    # The default itself, made the default once more: that it is so must not make its own tag stale.
    assert (await location.patch(path, json={"is_default": True}, headers=fresh)).status_code == 200
    assert (await location.patch(path, json={"name": "새 이름"}, headers=fresh)).status_code == 200
    assert (await location.patch(path, json={"name": "늦은 이름"}, headers=fresh)).status_code == 412
    assert (await location.delete(path, headers=fresh)).status_code == 412
    assert (await location.get(path, headers=person.headers)).json()["name"] == "새 이름"
    assert (await location.delete(path, headers=person.headers)).status_code == 204
    assert (await location.get(path, headers=person.headers)).status_code == 404


async def test_the_same_key_adds_a_place_once(location: httpx.AsyncClient, person: Person) -> None:
    headers = person.headers | {"Idempotency-Key": "first"}
    first = await location.post(PLACES, json=HOME, headers=headers)
    second = await location.post(PLACES, json=HOME, headers=headers)
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    other = await location.post(PLACES, json=HOME | {"name": "다른 곳"}, headers=headers)
    assert other.status_code == 409
    assert len((await location.get(PLACES, headers=person.headers)).json()["items"]) == 1


async def test_a_new_default_takes_over_from_the_old_one(location: httpx.AsyncClient, person: Person) -> None:
    await add(location, person, name="첫째", is_default=True)
    second = await add(location, person, name="둘째", is_default=True)
    third = await add(location, person, name="셋째")
    assert await defaults(location, person) == ["둘째"]
    await location.patch(f"{PLACES}/{third['id']}", json={"is_default": True}, headers=person.headers)
    assert await defaults(location, person) == ["셋째"]
    await location.patch(f"{PLACES}/{third['id']}", json={"is_default": False}, headers=person.headers)
    assert await defaults(location, person) == []
    await location.delete(f"{PLACES}/{second['id']}", headers=person.headers)
    assert await defaults(location, person) == []


async def test_a_default_refused_by_its_condition_changes_nothing(location: httpx.AsyncClient, person: Person) -> None:
    await add(location, person, name="기본", is_default=True)
    other = await add(location, person, name="다른 곳")
    answer = await location.patch(
        f"{PLACES}/{other['id']}", json={"is_default": True}, headers=person.headers | {"If-Match": '"stale"'}
    )
    assert answer.status_code == 412
    assert await defaults(location, person) == ["기본"]


async def test_of_many_defaults_set_at_once_one_is_left(
    location: httpx.AsyncClient, person: Person, another_person: Person
) -> None:
    await add(location, another_person, name="남의 기본", is_default=True)
    places = [await add(location, person, name=f"곳 {number}") for number in range(6)]
    for _ in range(4):
        answers = await asyncio.gather(
            *(
                location.patch(f"{PLACES}/{place['id']}", json={"is_default": True}, headers=person.headers)
                for place in places
            ),
            *(location.post(PLACES, json=HOME | {"is_default": True}, headers=person.headers) for number in range(4)),
        )
        assert {answer.status_code for answer in answers} == {200, 201}
        assert len(await defaults(location, person)) == 1
    assert await defaults(location, another_person) == ["남의 기본"]


async def test_the_database_itself_refuses_a_second_default(database: Database, person: Person) -> None:
    insert = "INSERT INTO user_locations (id, user_id, name, address, is_default) VALUES (%s, %s, '집', '서울', TRUE)"
    async with database.connection() as conn:
        await conn.execute(insert, [new_id(), person.id])
        with pytest.raises(psycopg.errors.UniqueViolation):
            await conn.execute(insert, [new_id(), person.id])
