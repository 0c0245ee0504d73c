"""A place that is added"""

from typing import Any

import httpx
import pytest

from tests.conftest import Person
from tests.location.conftest import HOME, PLACES, add


async def test_a_place_may_have_no_coordinates_but_not_half(location: httpx.AsyncClient, person: Person) -> None:
    place = await add(location, person, latitude=None, longitude=None)
    assert place["latitude"] is None
    half = await location.post(PLACES, json=HOME | {"longitude": None}, headers=person.headers)
    assert half.status_code == 400
    assert half.json()["errors"][0]["field"] == "longitude"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "가" * 101),
        ("name", "a\x00"),
        ("name", " "),
        ("address", ""),
        ("address", "\n\u3164"),
        ("latitude", 91),
        ("longitude", -181),
    ],
)
async def test_a_value_out_of_range_is_named(
    location: httpx.AsyncClient, person: Person, field: str, value: Any
) -> None:
    answer = await location.post(PLACES, json=HOME | {field: value}, headers=person.headers)
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [field]


async def test_the_same_key_adds_a_place_once(location: httpx.AsyncClient, person: Person) -> None:
    headers = person.headers | {"Idempotency-Key": "first"}
    first = await location.post(PLACES, json=HOME, headers=headers)
    second = await location.post(PLACES, json=HOME, headers=headers)
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    other = await location.post(PLACES, json=HOME | {"name": "다른 곳"}, headers=headers)
    assert other.status_code == 409
    assert len((await location.get(PLACES, headers=person.headers)).json()["items"]) == 1
