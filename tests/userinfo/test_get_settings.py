"""A person's settings, read"""

import httpx

from shared.db import Database
from tests.conftest import Person
from tests.userinfo.conftest import ME, SETTINGS, USERS


async def test_looking_writes_nothing(userinfo: httpx.AsyncClient, person: Person, database: Database) -> None:
    for path in (ME, SETTINGS, f"{USERS}/{person.id}"):
        await userinfo.get(path, headers=person.headers)
    async with database.connection() as conn:
        cur = await conn.execute(
            "SELECT (SELECT count(*) FROM profiles WHERE user_id = %s) + (SELECT count(*) FROM settings WHERE user_id = %s)",
            [person.id, person.id],
        )
        assert await cur.fetchone() == (0,)
