"""The queue function that writes letters"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from uuid import UUID

import pytest

from functions.auth.messages import SendMail
from functions.auth.send_mail import send_mail
from shared.db import Database
from shared.errors import Unavailable
from shared.ids import new_id
from shared.settings import Settings
from shared.tasks import TaskFailed
from tests import support
from tests.auth.conftest import Account, Outside

Db = Callable[[str], Awaitable[Database]]


def settings(outside: Outside, **changed: str) -> Settings:
    return Settings(**{name.lower(): value for name, value in (outside.environment | changed).items()})


def token_in(text: str) -> str:
    found = re.search(r"#token=([A-Za-z0-9_-]{43})\b", text)
    assert found, text
    return found[1]


async def tokens_kept(database: Database, user_id: UUID) -> list[str]:
    async with database.connection() as conn:
        cur = await conn.execute("SELECT token FROM mail_tokens WHERE user_id = %s", [user_id])
        return [row[0] for row in await cur.fetchall()]


async def test_the_letter_has_the_token_and_the_database_only_its_hash(
    account: Account, outside: Outside, db: Db
) -> None:
    database = await db("auth")
    await send_mail(SendMail(account.id, "reset"), database, settings(outside))
    [letter] = outside.letters(account.email)
    assert "https://app.eco2.example/reset#token=" in letter["text"]
    assert account.username in letter["text"]
    assert token_in(letter["text"]) not in str(await tokens_kept(database, account.id))
    assert len(await tokens_kept(database, account.id)) == 1


async def test_nobody_is_written_to_for_an_unknown_address(outside: Outside, db: Db) -> None:
    stranger = new_id()
    await send_mail(SendMail(stranger, "reset"), await db("auth"), settings(outside))
    assert await tokens_kept(await db("auth"), stranger) == []


@pytest.mark.parametrize("answer", ["220 go ahead", "454 not now"])
async def test_no_letter_and_no_password_goes_in_the_clear_where_the_server_can_encrypt(
    account: Account, outside: Outside, db: Db, answer: str
) -> None:
    heard: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail\r\n")
        while (line := await reader.readline()).endswith(b"\r\n") and line.isascii():
            heard.append(line.split()[0].decode().upper())
            writer.write(b"250-mail\r\n250 STARTTLS\r\n" if heard[-1] == "EHLO" else f"{answer}\r\n".encode())
            if heard[-1] == "STARTTLS" and answer.startswith("220"):
                writer.write(b"what is no TLS\r\n")
                return

    async with support.answering(serve) as address:
        there = settings(outside, SMTP_URL=address.replace("http://", "smtp://eco2:secret@"))
        with pytest.raises(Unavailable):
            await send_mail(SendMail(account.id, "verify"), await db("auth"), there)
    assert heard[:2] == ["EHLO", "STARTTLS"]
    assert not {"AUTH", "MAIL", "RCPT", "DATA"} & set(heard)


async def test_a_mail_server_that_is_away_is_waited_for(account: Account, outside: Outside, db: Db) -> None:
    nowhere = settings(outside, SMTP_URL="smtp://127.0.0.1:9")
    with pytest.raises(Unavailable):
        await send_mail(SendMail(account.id, "verify"), await db("auth"), nowhere)


async def test_without_one_the_task_fails_and_says_why(account: Account, outside: Outside, db: Db) -> None:
    with pytest.raises(TaskFailed, match="mail-not-set-up"):
        await send_mail(SendMail(account.id, "verify"), await db("auth"), settings(outside, SMTP_URL=""))
    assert await tokens_kept(await db("auth"), account.id) == []


async def test_an_address_that_is_refused_for_good_is_a_failure(account: Account, outside: Outside, db: Db) -> None:
    database = await db("auth")
    async with database.connection() as conn:
        await conn.execute("UPDATE users SET email = %s WHERE id = %s", [f"bounce-{account.email}", account.id])
    with pytest.raises(TaskFailed, match="address-refused"):
        await send_mail(SendMail(account.id, "verify"), database, settings(outside))
