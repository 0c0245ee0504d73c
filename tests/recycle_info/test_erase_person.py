"""The erasure of a person"""

import httpx

from functions.recycle_info.erase_person import erase_person
from shared.db import Database
from shared.idempotency import Idempotency
from shared.messages import ErasePerson
from tests.conftest import Person
from tests.recycle_info.conftest import PREFIX
from tests.support import left_of


async def test_an_erased_person_has_searched_for_nothing(
    client: httpx.AsyncClient, database: Database, person: Person, another_person: Person
) -> None:
    for somebody in (person, another_person):
        await client.get(f"{PREFIX}/search", params={"q": "신문지"}, headers=somebody.headers)
    async with database.connection() as conn:
        key = Idempotency("key", user_id=person.id, method="POST", path="/", body=b"")
        await key.keep(conn, {}, status=201)
    await erase_person(ErasePerson(person.id), database)
    assert await left_of(database, str(person.id)) == []
    await erase_person(ErasePerson(person.id), database)
    async with database.connection() as conn:
        cur = await conn.execute(
            "SELECT user_id, count(*) FROM user_queries WHERE user_id = ANY(%s) GROUP BY user_id",
            [[person.id, another_person.id]],
        )
        assert await cur.fetchall() == [(another_person.id, 1)]
