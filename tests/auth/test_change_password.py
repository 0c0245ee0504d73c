"""A new password"""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest

from functions.auth import attempts
from functions.auth import db as sql
from shared import clock
from shared.db import Database
from shared.ids import new_id
from shared.settings import Settings
from tests.auth.conftest import PASSWORD, Account, bearer, status

PASSWORD_PATH = "/api/v1/auth/password"


async def change(account: Account, tokens: dict[str, Any], current: str, new: str, **headers: str) -> httpx.Response:
    body = {"current_password": current, "new_password": new}
    return await account.client.put(PASSWORD_PATH, json=body, headers={**bearer(tokens), **headers})


async def test_a_new_password_ends_the_other_sessions(account: Account) -> None:
    here, there = await account.login(), await account.login()
    assert (await change(account, here, PASSWORD, "a new password")).status_code == 204
    assert await status(account, here) == 200
    assert await status(account, there) == 401
    body = {"refresh_token": there["refresh_token"]}
    assert (await account.client.post("/api/v1/auth/refresh", json=body)).status_code == 401
    old = await account.client.post("/api/v1/auth/login", json={"username": account.username, "password": PASSWORD})
    assert old.status_code == 401
    await account.login(password="a new password")


async def test_a_link_that_was_mailed_to_set_a_new_password_ends_with_the_old_one_and_one_that_verifies_does_not(
    account: Account, db: Callable[[str], Awaitable[Database]]
) -> None:
    database, reset, verify = await db("auth"), new_id().hex, new_id().hex
    end = clock.now() + timedelta(minutes=30)
    async with database.transaction() as conn:
        await sql.insert_mail_token(conn, reset, account.id, "reset", account.email, end)
        await sql.insert_mail_token(conn, verify, account.id, "verify", account.email, end)
    assert (await change(account, await account.login(), PASSWORD, "a new password")).status_code == 204
    async with database.connection() as conn:
        assert await sql.select_mail_token(conn, reset, "reset", clock.now()) is None
        assert await sql.select_mail_token(conn, verify, "verify", clock.now()) is not None


async def test_the_wrong_current_password_changes_nothing(account: Account) -> None:
    here, there = await account.login(), await account.login()
    answer = await change(account, here, "not it at all", "a new password")
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:eco2:auth:wrong-password")
    assert await status(account, there) == 200
    await account.login()


@pytest.mark.parametrize("new", ["short", "비밀번호" * 7, "a" * 65, "eight\u0000888"])
async def test_a_bad_new_password_is_named(account: Account, new: str) -> None:
    answer = await change(account, await account.login(), PASSWORD, new)
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == ["new_password"]


async def test_what_is_guessed_first_is_no_new_password(account: Account) -> None:
    tokens = await account.login()
    for new in (account.username, account.email, "password123"):
        answer = await change(account, tokens, PASSWORD, new)
        assert [error["field"] for error in answer.json()["errors"]] == ["new_password"]
    await account.login()


async def test_a_stolen_access_token_guesses_no_password(account: Account) -> None:
    tokens = await account.login()
    answers = [await change(account, tokens, "not it at all", "a new password") for _ in range(11)]
    assert [answer.status_code for answer in answers] == [403] * 10 + [429]


def test_what_a_stranger_types_as_a_name_fills_no_other_kind_of_bucket() -> None:
    """A person's id is no secret from whoever has seen one of their pictures."""
    id_, settings = new_id(), Settings()
    keys = [
        attempts.login(str(id_)).key,
        attempts.logins_from(str(id_)).key,
        attempts.confirmation(id_).key,
        attempts.registrations_from(str(id_), settings).key,
    ]
    assert len(set(keys)) == len(keys)
    assert attempts.login("Kim.Eco").key == attempts.login("kim.eco").key
