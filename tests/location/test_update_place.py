"""A place that changes, and the default"""

import asyncio

import httpx
import psycopg
import pytest

from shared.db import Database
from shared.ids import new_id
from tests.conftest import Person
from tests.location.conftest import HOME, PLACES, add


async def defaults(client: httpx.AsyncClient, person: Person) -> list[str]:
    items = (await client.get(PLACES, params={"limit": 100}, headers=person.headers)).json()["items"]
    return [item["name"] for item in items if item["is_default"]]


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


async def test_a_new_default_takes_over_from_the_old_one(location: httpx.AsyncClient, person: Person) -> None:
    await add(location, person, name="첫째", is_default=True)
    second = await add(location, person, name="둘째", is_default=True)
    third = await add(location, person, name="셋째")
    assert await defaults(location, person) == ["둘째"]
    await location.patch(f"{PLACES}/{third['id']}", json={"is_default": True}, headers=person.headers)
    assert await defaults(location, person) == ["셋째"]
    await location.patch(f"{PLACES}/{second['id']}", json={"is_default": False}, headers=person.headers)
    assert await defaults(location, person) == ["셋째"], "who is none stays none, and takes nothing away"
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
