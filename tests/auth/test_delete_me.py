"""DELETE /me: here at once, elsewhere by messages"""

from collections.abc import Awaitable, Callable
from typing import Any, Literal

import pytest

from functions.auth.delete_me import AGAIN_AFTER, SERVICES
from functions.auth.erasure_confirmed import erasure_confirmed
from shared import clock
from shared.db import Database
from shared.ids import new_id
from shared.messages import Outcome, TaskError
from tests.auth.conftest import PASSWORD, Account, bearer

ME = "/api/v1/auth/me"


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


async def test_each_service_is_told_now_and_again_after_twenty_minutes(
    account: Account, db: Callable[[str], Awaitable[Database]]
) -> None:
    tokens = await account.login()
    assert await erase(account, tokens) == 202
    found = await messages(await db("auth"), account)
    wanted = [(f"{name}/erase_person", delay) for name in SERVICES for delay in (0.0, AGAIN_AFTER)]
    assert sorted((row[1], row[2].total_seconds()) for row in found) == sorted(wanted)
    assert {row[4] for row in found} == {"auth/erasure_confirmed"}
    assert str(account.id) not in {str(row[3]) for row in found}
    # Here nothing is left but these.
    async with (await db("auth")).connection() as conn:
        for table in ("users WHERE id", "sessions WHERE user_id", "refresh_tokens WHERE user_id"):
            cur = await conn.execute(f"SELECT count(*) FROM {table} = %s", [account.id])
            assert await cur.fetchone() == (0,)
    assert (await account.client.get(ME, headers=bearer(tokens))).status_code == 401
    body = {"refresh_token": tokens["refresh_token"]}
    assert (await account.client.post("/api/v1/auth/refresh", json=body)).status_code == 401


async def test_the_name_is_free_again(account: Account) -> None:
    assert await erase(account, await account.login()) == 202
    body = {"username": account.username, "email": account.email, "password": PASSWORD}
    assert (await account.client.post("/api/v1/auth/register", json=body)).status_code == 201


@pytest.mark.parametrize(("password", "headers", "status"), [("not it", {}, 403), (PASSWORD, {"If-Match": '"x"'}, 412)])
async def test_a_wrong_password_or_a_stale_if_match_erases_nobody(
    account: Account, db: Callable[[str], Awaitable[Database]], password: str, headers: dict[str, str], status: int
) -> None:
    assert await erase(account, await account.login(), password, **headers) == status
    assert await messages(await db("auth"), account) == []
    await account.login()


@pytest.mark.parametrize(("status", "left"), [("success", 9), ("failure", 10)])
async def test_only_a_confirmation_ends_a_message(
    account: Account, db: Callable[[str], Awaitable[Database]], status: Literal["success", "failure"], left: int
) -> None:
    assert await erase(account, await account.login()) == 202
    database = await db("auth")
    row = (await messages(database, account))[0]
    error = TaskError("internal", "no") if status == "failure" else None
    await erasure_confirmed(Outcome(row[0], new_id(), row[3], status, clock.now(), error=error), database)
    assert len(await messages(database, account)) == left
    async with database.connection() as conn:
        cur = await conn.execute("SELECT count(*) FROM failed_tasks WHERE id = %s", [row[0]])
        assert await cur.fetchone() == (0,)
