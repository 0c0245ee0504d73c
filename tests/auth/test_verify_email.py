"""POST /email/verify"""

from collections.abc import Awaitable, Callable

from functions.auth.messages import SendMail
from functions.auth.send_mail import send_mail
from shared.db import Database
from tests.auth.conftest import Account, Outside, bearer
from tests.auth.test_send_mail import settings, token_in

PATH = "/api/v1/auth/email/verify"


async def test_an_address_is_verified_once_and_without_a_session(
    account: Account, outside: Outside, db: Callable[[str], Awaitable[Database]]
) -> None:
    await send_mail(SendMail(account.id, "verify"), await db("auth"), settings(outside))
    await send_mail(SendMail(account.id, "verify"), await db("auth"), settings(outside))
    body, other = ({"token": token_in(letter["text"])} for letter in outside.letters(account.email))
    assert (await account.client.post(PATH, json=body)).status_code == 204
    me = await account.client.get("/api/v1/auth/me", headers=bearer(await account.login()))
    assert me.json()["email_verified"] is True
    assert (await account.client.post(PATH, json=body)).status_code == 400
    assert (await account.client.post(PATH, json=other)).status_code == 400


async def test_a_link_that_sets_a_password_verifies_nothing_and_stays_good(
    account: Account, outside: Outside, db: Callable[[str], Awaitable[Database]]
) -> None:
    await send_mail(SendMail(account.id, "reset"), await db("auth"), settings(outside))
    token = token_in(outside.letters(account.email)[0]["text"])
    assert (await account.client.post(PATH, json={"token": token})).status_code == 400
    body = {"token": token, "new_password": "an even better horse"}
    assert (await account.client.post("/api/v1/auth/password/reset", json=body)).status_code == 204


async def test_a_link_to_an_address_that_was_changed_verifies_nothing(
    account: Account, outside: Outside, db: Callable[[str], Awaitable[Database]]
) -> None:
    database = await db("auth")
    await send_mail(SendMail(account.id, "verify"), database, settings(outside))
    async with database.connection() as conn:
        await conn.execute("UPDATE users SET email = %s WHERE id = %s", [f"new-{account.email}", account.id])
    body = {"token": token_in(outside.letters(account.email)[0]["text"])}
    assert (await account.client.post(PATH, json=body)).status_code == 204
    me = await account.client.get("/api/v1/auth/me", headers=bearer(await account.login()))
    assert me.json()["email_verified"] is False
