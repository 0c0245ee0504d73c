"""A person who is erased, with all objects"""

import httpx

from functions.waste.erase_person import erase_person
from shared import clock, uploads
from shared.db import Database
from shared.messages import ErasePerson
from tests.conftest import Person, Take
from tests.waste.conftest import upload


async def test_what_comes_by_a_form_of_an_erased_person_is_deleted_when_the_form_has_ended(
    client: httpx.AsyncClient, waste: Database, person: Person, take: Take
) -> None:
    key = await upload(client, person)
    before = clock.now()
    await take(erase_person, ErasePerson(person.id))
    async with waste.connection() as conn:
        cursor = await conn.execute(
            "SELECT message, due_at FROM outbox WHERE actor = 'storage/delete_objects' AND message::text LIKE %s"
            " ORDER BY due_at",
            [f"%{person.id}%"],
        )
        (now, _), (late, due) = await cursor.fetchall()
    assert now == {"keys": [], "prefixes": [f"uploads/{person.id}"]}
    assert late == {"keys": [key], "prefixes": []}
    assert due >= before + uploads.LIFETIME
