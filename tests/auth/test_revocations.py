"""Sessions that end: every other service is told, and here each function that reads or changes an account hears it at once"""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import jwt
import pytest
from redis.asyncio import Redis

from functions.auth import db as sql
from functions.auth import tokens as tokens_module
from shared import clock, identity
from shared.db import Database
from shared.ids import new_id
from tests.auth.conftest import ME, PASSWORD, SESSIONS, Account, bearer, erase
from tests.auth.test_change_password import change

Tokens = dict[str, Any]
PREFIX = "/api/v1/auth"


def session_of(tokens: Tokens) -> str:
    return str(jwt.decode(tokens["access_token"], options={"verify_signature": False})["sid"])


async def replay(account: Account, here: Tokens, there: Tokens, database: Database) -> None:
    body = {"refresh_token": there["refresh_token"]}
    after = (await account.client.post(f"{PREFIX}/refresh", json=body)).json()
    await account.client.post(f"{PREFIX}/refresh", json={"refresh_token": after["refresh_token"]})
    assert (await account.client.post(f"{PREFIX}/refresh", json=body)).status_code == 401


async def new_password(account: Account, here: Tokens, there: Tokens, database: Database) -> None:
    assert (await change(account, here, PASSWORD, "an even better horse")).status_code == 204


async def forgotten_password(account: Account, here: Tokens, there: Tokens, database: Database) -> None:
    token = new_id().hex
    async with database.connection() as conn:
        end = clock.now() + timedelta(minutes=1)
        await sql.insert_mail_token(conn, tokens_module.hash_of(token), account.id, "reset", account.email, end)
    body = {"token": token, "new_password": "an even better horse"}
    assert (await account.client.post(f"{PREFIX}/password/reset", json=body)).status_code == 204


async def ended_from_elsewhere(account: Account, here: Tokens, there: Tokens, database: Database) -> None:
    answer = await account.client.delete(f"{SESSIONS}/{session_of(there)}", headers=bearer(here))
    assert answer.status_code == 204


async def log_out(account: Account, here: Tokens, there: Tokens, database: Database) -> None:
    assert (await account.client.post(f"{PREFIX}/logout", headers=bearer(there))).status_code == 204


async def log_out_by_refresh_token(account: Account, here: Tokens, there: Tokens, database: Database) -> None:
    body = {"refresh_token": there["refresh_token"]}
    assert (await account.client.post(f"{PREFIX}/logout", json=body)).status_code == 204


async def erasure(account: Account, here: Tokens, there: Tokens, database: Database) -> None:
    assert await erase(account, here) == 202


@pytest.mark.parametrize(
    ("end", "every"),
    [
        (replay, False),
        (new_password, False),
        (forgotten_password, True),
        (ended_from_elsewhere, False),
        (log_out, False),
        (log_out_by_refresh_token, False),
        (erasure, True),
    ],
)
async def test_whatever_ends_a_session_tells_the_other_services_of_that_one(
    account: Account,
    db: Callable[[str], Awaitable[Database]],
    broker_url: str,
    end: Callable[[Account, Tokens, Tokens, Database], Awaitable[None]],
    every: bool,
) -> None:
    here, there = await account.login(), await account.login()
    await end(account, here, there, await db("auth"))
    async with Redis.from_url(broker_url, decode_responses=True) as redis:
        assert await redis.zscore(identity.REVOKED_KEY, session_of(there)) is not None
        assert (await redis.zscore(identity.REVOKED_KEY, session_of(here)) is not None) == every


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/me", None),
        ("DELETE", "/me", {"password": PASSWORD}),
        ("GET", "/sessions", None),
        ("DELETE", "/sessions/{here}", None),
        ("PUT", "/password", {"current_password": PASSWORD, "new_password": "an even better horse"}),
        ("POST", "/email/verification", None),
        ("GET", "/identities", None),
        ("DELETE", "/identities/kakao", None),
    ],
)
async def test_a_token_that_outlives_its_session_opens_nothing_here(
    account: Account, db: Callable[[str], Awaitable[Database]], method: str, path: str, body: Any
) -> None:
    # With Redis away no service hears of the end for 15 minutes; in this test no one listens.
    here, stolen = await account.login(), await account.login()
    now = clock.now()
    async with (await db("auth")).connection() as conn:
        await sql.insert_identity(conn, account.id, "kakao", account.id.hex, None, now)
        await sql.delete_session(conn, UUID(session_of(stolen)))
    place = PREFIX + path.replace("{here}", session_of(here))
    answer = await account.client.request(method, place, json=body, headers=bearer(stolen))
    assert answer.status_code == 401, answer.text
    assert (await account.client.get(ME, headers=bearer(here))).status_code == 200
