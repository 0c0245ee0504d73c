"""What is kept under a person's id in location, and its end"""

from typing import Any

import httpx

from functions.location.erase_person import erase_person
from shared.db import Database
from shared.messages import ErasePerson
from tests.conftest import Person
from tests.location.conftest import PLACES


async def test_an_erased_person_has_no_places_and_no_kept_answers(
    location: httpx.AsyncClient, person: Person, another_person: Person, database: Database
) -> None:
    body = {"name": "집", "address": "서울특별시 중구 세종대로 110", "is_default": True}
    for someone in (person, another_person):
        headers = someone.headers | {"Idempotency-Key": "one"}
        assert (await location.post(PLACES, json=body, headers=headers)).status_code == 201
    for _ in range(2):
        await erase_person(ErasePerson(person.id), database)
    assert (await location.get(PLACES, headers=person.headers)).json()["items"] == []
    assert len((await location.get(PLACES, headers=another_person.headers)).json()["items"]) == 1
    async with database.connection() as conn:
        rows: Any = await conn.execute("SELECT count(*) FROM idempotency WHERE user_id = %s", [person.id])
        assert await rows.fetchone() == (0,)
