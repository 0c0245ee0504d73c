"""The queue function that writes letters"""

import asyncio
import re
import ssl
from collections.abc import Awaitable, Callable
from contextlib import nullcontext, suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from pathlib import Path
from uuid import UUID

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from functions.auth import mail
from functions.auth.messages import SendMail
from functions.auth.send_mail import send_mail
from shared import clock
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


def certificate_in(folder: Path) -> Path:
    """A file with a key, and with what only who trusts that very file takes for a proof of 127.0.0.1."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now, address = datetime.now(UTC), x509.IPAddress(ip_address("127.0.0.1"))
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(1))
    made = made.add_extension(x509.SubjectAlternativeName([address]), critical=True)
    file = folder / "mail.pem"
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    file.write_bytes(private + made.sign(key, hashes.SHA256()).public_bytes(pem))
    return file


@pytest.mark.parametrize("trusted", [True, False])
@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
async def test_a_letter_goes_to_no_server_that_can_not_prove_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str, trusted: bool
) -> None:
    """Whoever stands between us and the mail server would else read the links, and set new passwords."""
    certificate = certificate_in(tmp_path)
    heard: list[str] = []
    proves = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    proves.load_cert_chain(certificate)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))

    said = {"EHLO": "250-mail\r\n250 STARTTLS", "STARTTLS": "220 go on", "DATA": "354 go on", "QUIT": "221 bye"}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):  # of a handshake that is broken off
            if scheme == "smtps":
                await writer.start_tls(proves)
            writer.write(b"220 mail\r\n")
            while line := await reader.readline():
                if heard[-1:] == ["DATA"] and line != b".\r\n":
                    continue
                heard.append(line.split()[0].decode().upper())
                writer.write(f"{said.get(heard[-1], '250 well')}\r\n".encode())
                if heard[-1] == "STARTTLS":
                    await writer.start_tls(proves)

    async with support.answering(serve) as address:
        there = Settings(smtp_url=address.replace("http://", f"{scheme}://"), mail_from="eco2@example.com")
        letter = mail.letter("reset", name="kim", email="kim@example.com", token="t" * 43, settings=there)
        with nullcontext() if trusted else pytest.raises(Unavailable):
            await asyncio.to_thread(mail.send, letter, there)
    assert ("DATA" in heard) is trusted


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


@pytest.mark.parametrize("purpose", ["verify", "reset"])
def test_a_letter_leads_to_its_page_and_says_that_no_one_need_answer(
    purpose: mail.Purpose, outside: Outside, later: Callable[[float], None]
) -> None:
    later(86_400)
    there = settings(outside, APP_URL="https://app.eco2.example/")
    letter = mail.letter(purpose, name="kim", email="kim@example.com", token="t" * 43, settings=there)
    assert f"https://app.eco2.example/{purpose}#token={'t' * 43}\n" in letter.get_content()
    assert letter["Auto-Submitted"] == "auto-generated"
    assert letter["To"] == "kim@example.com"
    assert abs(parsedate_to_datetime(letter["Date"]).timestamp() - clock.time()) < 60
    other = mail.letter(purpose, name="kim", email="kim@example.com", token="t" * 43, settings=there)
    assert other["Message-ID"] != letter["Message-ID"]


@pytest.mark.parametrize(
    ("at", "reply", "ends"),
    [
        ("RCPT", "550 no such person", mail.AddressRefused),
        ("RCPT", "500 what is that", mail.AddressRefused),
        ("RCPT", "450 try again later", Unavailable),
        ("RCPT", "421 too busy", Unavailable),
        (".", "554 we take none of it", mail.AddressRefused),
        (".", "451 the disk is full", Unavailable),
        ("MAIL", "530 who are you", Unavailable),
        ("AUTH", "535 a wrong password", Unavailable),
        ("EHLO", "502 no", Unavailable),
    ],
)
async def test_only_what_the_server_says_of_the_address_or_the_letter_for_good_ends_a_letter(
    at: str, reply: str, ends: type[Exception]
) -> None:
    """What is ours to mend (a password, a policy), or passes, is waited for."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail\r\n")
        said = {"EHLO": "250-mail\r\n250 AUTH PLAIN", "AUTH": "235 in", "DATA": "354 go on", "QUIT": "221 bye"}
        letter = False
        while line := await reader.readline():
            verb = "." if letter else line.split()[0].decode().upper()
            if letter and line != b".\r\n":
                continue
            letter = verb == "DATA"
            writer.write(f"{reply if verb in (at, 'HELO') else said.get(verb, '250 well')}\r\n".encode())

    async with support.answering(serve) as address:
        there = Settings(smtp_url=address.replace("http://", "smtp://eco2:secret@"), mail_from="eco2@example.com")
        letter = mail.letter("reset", name="kim", email="kim@example.com", token="t" * 43, settings=there)
        with pytest.raises(ends):
            await asyncio.to_thread(mail.send, letter, there)
