"""POST /email/verification"""

from collections.abc import Awaitable, Callable

from functions.auth import db as sql
from functions.auth.messages import SendMail
from functions.auth.send_mail import send_mail
from shared import clock
from shared.db import Database
from tests.auth.conftest import Account, Outside, bearer
from tests.auth.test_send_mail import settings

PATH = "/api/v1/auth/email/verification"


async def test_a_letter_is_accepted_and_not_too_many(account: Account) -> None:
    headers = bearer(await account.login())
    statuses = [(await account.client.post(PATH, headers=headers)).status_code for _ in range(4)]
    assert statuses == [202, 202, 202, 429]


async def test_who_has_shown_the_address_to_be_theirs_is_not_written_to_again(
    account: Account, outside: Outside, db: Callable[[str], Awaitable[Database]]
) -> None:
    database, headers = await db("auth"), bearer(await account.login())
    for verified, letters in ((False, 1), (True, 1)):
        if verified:
            async with database.connection() as conn:
                await sql.update_email_verified(conn, account.id, account.email, clock.now())
        assert (await account.client.post(PATH, headers=headers)).status_code == 202
        async with database.connection() as conn:
            cur = await conn.execute("SELECT id FROM outbox WHERE subject = %s", [account.id])
            assert len(await cur.fetchall()) == letters
    # One that was accepted before it was shown.
    await send_mail(SendMail(account.id, "verify"), database, settings(outside))
    assert outside.letters(account.email) == []


async def test_without_a_token_nobody_is_written_to(account: Account) -> None:
    assert (await account.client.post(PATH)).status_code == 401
