"""POST /password/forgot"""

from collections.abc import Awaitable, Callable

import httpx

from shared.db import Database
from shared.ids import new_id
from tests.auth.conftest import Account

PATH = "/api/v1/auth/password/forgot"


async def accepted(database: Database) -> int:
    async with database.connection() as conn:
        cur = await conn.execute("SELECT count(*) FROM outbox WHERE actor = 'auth/send_mail'")
        row = await cur.fetchone()
        assert row is not None
        return int(row[0])


async def test_a_known_and_an_unknown_address_get_the_same_answer_and_the_same_work(
    auth: httpx.AsyncClient, account: Account, db: Callable[[str], Awaitable[Database]]
) -> None:
    database = await db("auth")
    before = await accepted(database)
    known = await auth.post(PATH, json={"email": account.email.lower()})
    unknown = await auth.post(PATH, json={"email": f"{new_id().hex}@example.com"})
    assert (known.status_code, known.content) == (unknown.status_code, unknown.content) == (202, b"")
    assert await accepted(database) == before + 2


async def test_nobody_s_mailbox_is_filled(auth: httpx.AsyncClient, account: Account) -> None:
    statuses = [(await auth.post(PATH, json={"email": account.email})).status_code for _ in range(4)]
    assert statuses == [202, 202, 202, 429]
    # An address that no one has is limited alike: the limit tells nothing.
    stranger = f"{new_id().hex}@example.com"
    assert [(await auth.post(PATH, json={"email": stranger})).status_code for _ in range(4)] == statuses


async def test_what_is_no_address_is_named(auth: httpx.AsyncClient) -> None:
    assert (await auth.post(PATH, json={"email": "kim"})).json()["errors"][0]["field"] == "email"
