"""What is kept under a person's id in location, and its end"""

from typing import Any

import httpx
from dramatiq.brokers.stub import StubBroker

from runtime.loader import load_queue_functions
from runtime.services import find
from shared.db import Database
from tests.conftest import Person
from tests.location.conftest import PLACES
from tests.support import run_actor


async def test_an_erased_person_has_no_places_and_no_kept_answers(
    location: httpx.AsyncClient, person: Person, another_person: Person, database: Database
) -> None:
    body = {"name": "집", "address": "서울특별시 중구 세종대로 110", "is_default": True}
    for someone in (person, another_person):
        headers = someone.headers | {"Idempotency-Key": "one"}
        assert (await location.post(PLACES, json=body, headers=headers)).status_code == 201
    # Through the loader: five services have an actor of this name.
    erase_person = load_queue_functions(find("location"), StubBroker())["erase_person"]
    for _ in range(2):
        await run_actor(erase_person, database, user_id=person.id)
    assert (await location.get(PLACES, headers=person.headers)).json()["items"] == []
    assert len((await location.get(PLACES, headers=another_person.headers)).json()["items"]) == 1
    async with database.connection() as conn:
        rows: Any = await conn.execute("SELECT count(*) FROM idempotency WHERE user_id = %s", [person.id])
        assert await rows.fetchone() == (0,)
