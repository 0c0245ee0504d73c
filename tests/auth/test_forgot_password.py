"""POST /password/forgot"""

from collections.abc import Awaitable, Callable

import httpx
import pytest

from functions.auth import forgot_password
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
    known = await auth.post(PATH, json={"email": account.email.swapcase()})
    unknown = await auth.post(PATH, json={"email": f"{new_id().hex}@example.com"})
    assert (known.status_code, known.content) == (unknown.status_code, unknown.content) == (202, b"")
    assert await accepted(database) == before + 2
    async with database.connection() as conn:
        cur = await conn.execute("SELECT message ->> 'purpose' FROM outbox WHERE subject = %s", [account.id])
        assert await cur.fetchall() == [("reset",)], "the known one's goes to its person, in whatever case it was typed"


async def test_nobody_s_mailbox_is_filled(auth: httpx.AsyncClient, account: Account) -> None:
    statuses = [(await auth.post(PATH, json={"email": account.email})).status_code for _ in range(4)]
    assert statuses == [202, 202, 202, 429]
    # An address that no one has is limited alike: the limit tells nothing.
    stranger = f"{new_id().hex}@example.com"
    assert [(await auth.post(PATH, json={"email": stranger})).status_code for _ in range(4)] == statuses


async def test_one_place_asks_for_so_many_letters_whoever_they_are_to(
    serve: Callable[..., Awaitable[httpx.AsyncClient]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forgot_password, "ASKED", (2, 60.0))
    auth = await serve("auth", TRUSTED_HOPS="1")
    headers = {"X-Forwarded-For": f"2001:db8:{new_id().hex[-4:]}:{new_id().hex[-4:]}::1"}
    bodies = [{"email": f"{new_id().hex}@example.com"} for _ in range(3)]
    assert [(await auth.post(PATH, json=body, headers=headers)).status_code for body in bodies] == [202, 202, 429]


async def test_what_is_no_address_is_named(auth: httpx.AsyncClient) -> None:
    assert (await auth.post(PATH, json={"email": "kim"})).json()["errors"][0]["field"] == "email"
