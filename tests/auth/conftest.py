"""A registered person for auth's own tests, without the time that real passwords take."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import httpx
import pytest
from msgspec import Struct

from functions.auth import db as sql
from functions.auth import passwords
from shared import clock
from shared.db import Database
from shared.ids import new_id

PASSWORD = "correct horse battery"
# bcrypt of PASSWORD at the least cost: real ones take 0.3 s to check.
PASSWORD_HASH = "$2b$04$ziG.CNoqTEGaNEnxHAH0H.BByHxZm.OGpV3If.59px5x.RRWvu1Oy"


class Account(Struct):
    """A person in auth.users, and the way to auth."""

    id: UUID
    username: str
    email: str
    client: httpx.AsyncClient

    async def login(self, **changed: Any) -> dict[str, Any]:
        """New tokens."""
        body = {"username": self.username, "password": PASSWORD, **changed}
        answer = await self.client.post("/api/v1/auth/login", json=body)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


def bearer(tokens: dict[str, Any]) -> dict[str, str]:
    """The header that tokens make."""
    return {"Authorization": f"Bearer {tokens['access_token']}"}


# What is in force outside of tests.
COST, NOBODY = passwords.COST, passwords.NOBODY


@pytest.fixture(autouse=True)
def quick_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes of the least possible cost."""
    monkeypatch.setattr(passwords, "COST", 4)
    monkeypatch.setattr(passwords, "NOBODY", PASSWORD_HASH)


@pytest.fixture
async def auth(serve: Callable[[str], Awaitable[httpx.AsyncClient]]) -> httpx.AsyncClient:
    """The auth service, through the production loader."""
    return await serve("auth")


@pytest.fixture
async def new_account(
    auth: httpx.AsyncClient, db: Callable[[str], Awaitable[Database]]
) -> Callable[[], Awaitable[Account]]:
    """Makes people who are registered."""

    async def make() -> Account:
        id_ = new_id()
        account = Account(id_, f"kim-{id_.hex}", f"Kim-{id_.hex}@example.com", auth)
        async with (await db("auth")).connection() as conn:
            person = sql.Person(id_, account.username, account.email, clock.now())
            await sql.insert_person(conn, person, PASSWORD_HASH)
        return account

    return make


@pytest.fixture
async def account(new_account: Callable[[], Awaitable[Account]]) -> Account:
    """One of them."""
    return await new_account()


ME = "/api/v1/auth/me"


SESSIONS = "/api/v1/auth/sessions"


async def status(account: Account, tokens: dict[str, Any]) -> int:
    return (await account.client.get(ME, headers=bearer(tokens))).status_code


async def erase(account: Account, tokens: dict[str, Any], password: str = PASSWORD, **headers: str) -> int:
    answer = await account.client.request(
        "DELETE", ME, json={"password": password}, headers={**bearer(tokens), **headers}
    )
    return answer.status_code


async def messages(database: Database, account: Account) -> list[tuple[Any, ...]]:
    async with database.connection() as conn:
        cur = await conn.execute(
            "SELECT id, actor, due_at - created_at, subject, reply FROM outbox WHERE message ->> 'user_id' = %s",
            [str(account.id)],
        )
        return await cur.fetchall()
