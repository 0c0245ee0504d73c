"""DELETE /me: here at once, elsewhere by messages"""

from collections.abc import Awaitable, Callable

import pytest
from redis.asyncio import Redis

from functions.auth import attempts
from functions.auth import db as sql
from functions.auth.delete_me import AGAIN_AFTER, SERVICES
from functions.auth.messages import SendMail
from shared import clock
from shared.db import Database
from shared.idempotency import Idempotency
from shared.ids import new_id
from shared.messages import Outcome, TaskError
from shared.tasks import enqueue, settle
from tests.auth.conftest import ME, PASSWORD, Account, bearer, erase, messages
from tests.support import left_of


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


async def test_whatever_is_under_way_for_a_person_goes_with_them(
    account: Account, db: Callable[[str], Awaitable[Database]]
) -> None:
    tokens, database = await account.login(), await db("auth")
    now, mark = clock.now(), account.id.hex
    code = sql.Code(mark, account.id, "challenge", "kakao", mark, account.email, now)
    async with database.transaction() as conn:
        await sql.insert_mail_token(conn, mark, account.id, "reset", account.email, now)
        await sql.insert_identity(conn, account.id, "kakao", mark, account.email, now)
        await sql.insert_flow(conn, sql.Flow(mark, "google", "n", "v", "http://localhost", "c", account.id, now))
        await sql.insert_code(conn, code)
        await Idempotency(mark, user_id=account.id, method="POST", path="/", body=b"").keep(conn, mark, status=201)
        await enqueue(conn, SendMail(account.id, "verify"), subject=account.id)
        failed = await enqueue(conn, SendMail(account.id, "reset"), subject=account.id)
        error = TaskError("address-refused", f"{account.email} is refused.")
        await settle(conn, Outcome(failed, new_id(), account.id, "failure", now, error=error))
    assert {row.partition(":")[0] for row in await left_of(database, str(account.id))} > {"failed_tasks", "outbox"}
    assert await erase(account, tokens) == 202
    assert {row.partition(":")[0] for row in await left_of(database, str(account.id))} == {"outbox"}
    assert {actor.partition("/")[2] for _, actor, *_ in await messages(database, account)} == {"erase_person"}
    for word in (account.email, account.username, mark):
        assert await left_of(database, word) == []


async def test_of_wrong_passwords_that_were_counted_nothing_is_left(account: Account, broker_url: str) -> None:
    tokens = await account.login()
    for name in (account.username, account.email):
        body = {"username": name, "password": "not it"}
        assert (await account.client.post("/api/v1/auth/login", json=body)).status_code == 401
    assert await erase(account, tokens, "not it") == 403
    buckets = [attempts.login(account.username), attempts.login(account.email), attempts.confirmation(account.id)]
    keys = [bucket.key for bucket in buckets]
    async with Redis.from_url(broker_url) as redis:
        assert await redis.exists(*keys) == 3
        assert await erase(account, tokens) == 202
        assert await redis.exists(*keys) == 0
