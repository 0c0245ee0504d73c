"""A registered person for auth's own tests, without the time that real passwords take."""

import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from msgspec import Struct

from emulator.outside.providers import providers_file
from emulator.process import free_port
from functions.auth import db as sql
from functions.auth import passwords
from shared import clock
from shared.db import Database
from shared.ids import new_id
from tests import support, web

PASSWORD = "correct horse battery"
# bcrypt of PASSWORD at the least cost: real ones take 0.3 s to check.
PASSWORD_HASH = "$2b$04$ziG.CNoqTEGaNEnxHAH0H.BByHxZm.OGpV3If.59px5x.RRWvu1Oy"


class Account(Struct):
    """A person in auth.users, and a client of auth."""

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


class Outside(Struct):
    """A mail server and identity providers, as the emulator has them."""

    url: str
    environment: dict[str, str]

    def letters(self, to: str) -> list[dict[str, Any]]:
        """What was written to an address, newest first."""
        return list(web.get(f"{self.url}/mail", params={"to": to}).raise_for_status().json())


@pytest.fixture(scope="session")
def outside(state: Path) -> Iterator[Outside]:
    """A running `python -m emulator.outside`, and the settings that lead auth to it."""
    port, smtp = free_port(), free_port()
    url, public = f"http://127.0.0.1:{port}", "http://api.test"
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "PYTHONPATH": os.pathsep.join(sys.path),
        "OUTSIDE_PORT": str(port),
        "SMTP_PORT": str(smtp),
        "MAIL_DIR": str(state / "mail"),
        "OAUTH_REDIRECTS": public + "/api/v1/auth/oauth/{provider}/callback",
    }
    file = state / "providers.toml"
    file.write_text(providers_file(url), encoding="utf-8")
    process = subprocess.Popen([sys.executable, "-m", "emulator.outside"], env=environment)
    try:
        support.wait_until_ready(f"{url}/_ready", process)
        yield Outside(
            url,
            {
                "SMTP_URL": f"smtp://127.0.0.1:{smtp}",
                "OAUTH_PROVIDERS_FILE": str(file),
                "OAUTH_RETURN_TO": "http://localhost:*,https://app.eco2.example/auth",
                "PUBLIC_URL": public,
                "APP_URL": "https://app.eco2.example",
            },
        )
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


@pytest.fixture
async def reached(serve: Callable[..., Awaitable[httpx.AsyncClient]], outside: Outside) -> httpx.AsyncClient:
    """The auth service with the world outside set up."""
    return await serve("auth", **outside.environment)


@pytest.fixture
def later(tmp_path: Path) -> Iterator[Callable[[float], None]]:
    """Moves the clock forward."""
    file = str(tmp_path / "clock")
    before = clock.offset()
    clock.write_offset(file, before)
    clock.use_file(file)
    yield lambda seconds: clock.write_offset(file, clock.offset() + seconds)
    clock.use_file(os.environ.get("ECO2_CLOCK_FILE"))


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


async def wait_for_a_place(address: str) -> bool:
    """Whether there was a place to hash in, or to wait for one."""
    try:
        async with passwords.slot(address):
            return True
    except passwords.Busy:
        return False
