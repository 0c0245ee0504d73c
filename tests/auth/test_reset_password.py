"""POST /password/reset"""

from collections.abc import Awaitable, Callable

import pytest

from functions.auth import attempts
from functions.auth.messages import SendMail
from functions.auth.send_mail import send_mail
from shared.db import Database
from tests.auth.conftest import Account, Outside, bearer
from tests.auth.test_send_mail import settings, token_in

PATH = "/api/v1/auth/password/reset"
NEW = "an even better horse"


@pytest.fixture
async def token(account: Account, outside: Outside, db: Callable[[str], Awaitable[Database]]) -> str:
    """From the letter."""
    await send_mail(SendMail(account.id, "reset"), await db("auth"), settings(outside))
    return token_in(outside.letters(account.email)[0]["text"])


async def reset(account: Account, token: str, password: str = NEW) -> tuple[int, str]:
    answer = await account.client.post(PATH, json={"token": token, "new_password": password})
    return answer.status_code, answer.json()["type"] if answer.content else ""


async def test_the_new_password_holds_and_every_session_ends(account: Account, token: str) -> None:
    before = await account.login()
    assert await reset(account, token) == (204, "")
    assert (await account.client.get("/api/v1/auth/me", headers=bearer(before))).status_code == 401
    me = await account.client.get("/api/v1/auth/me", headers=bearer(await account.login(password=NEW)))
    # The link came by the address: so it is theirs.
    assert me.json()["email_verified"] is True
    old = await account.client.post(
        "/api/v1/auth/login", json={"username": account.username, "password": "correct horse battery"}
    )
    assert old.status_code == 401


async def test_a_link_works_once(account: Account, token: str) -> None:
    assert (await reset(account, token))[0] == 204
    assert await reset(account, token) == (400, "urn:eco2:auth:link-used-or-expired")


async def test_a_link_that_was_used_takes_the_others_with_it(
    account: Account, token: str, outside: Outside, db: Callable[[str], Awaitable[Database]]
) -> None:
    await send_mail(SendMail(account.id, "reset"), await db("auth"), settings(outside))
    assert (await reset(account, token_in(outside.letters(account.email)[0]["text"])))[0] == 204
    assert (await reset(account, token, "yet another horse"))[0] == 400


async def test_whoever_sets_a_new_password_need_not_wait_for_wrong_ones_that_somebody_tried(
    account: Account, token: str
) -> None:
    names = (account.username, account.email)
    for name in names:
        for _ in range(attempts.NAME[0]):
            body = {"username": name, "password": "wrong password"}
            assert (await account.client.post("/api/v1/auth/login", json=body)).status_code == 401
    assert (await reset(account, token))[0] == 204
    for name in names:
        await account.login(username=name, password=NEW)


async def test_a_link_lives_half_an_hour(account: Account, token: str, later: Callable[[float], None]) -> None:
    later(30 * 60 + 1)
    assert (await reset(account, token))[0] == 400


async def test_a_changed_password_ends_the_links(account: Account, token: str) -> None:
    body = {"current_password": "correct horse battery", "new_password": NEW}
    changed = await account.client.put("/api/v1/auth/password", json=body, headers=bearer(await account.login()))
    assert changed.status_code == 204
    assert (await reset(account, token, "yet another horse"))[0] == 400


async def test_a_verification_link_sets_no_password(
    account: Account, outside: Outside, db: Callable[[str], Awaitable[Database]]
) -> None:
    await send_mail(SendMail(account.id, "verify"), await db("auth"), settings(outside))
    assert (await reset(account, token_in(outside.letters(account.email)[0]["text"])))[0] == 400


async def test_a_bad_password_leaves_the_link_as_it_is(account: Account, token: str) -> None:
    for password in ("short", "password123", "aaaaaaaaaa", "        ", account.username, account.email):
        assert await reset(account, token, password) == (400, "urn:eco2:bad-input")
    assert (await reset(account, token))[0] == 204
