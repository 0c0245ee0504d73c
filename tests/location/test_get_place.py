"""One place, for its owner"""

import httpx

from shared.ids import new_id
from tests.conftest import Person
from tests.location.conftest import HOME, PLACES, add


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
