"""POST /identities/{provider}: a provider is added by who proves both accounts."""

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from functions.auth import db as sql
from shared.db import Database
from tests.auth.conftest import Account, bearer
from tests.auth.signing_in import PREFIX, RETURN_TO, App
from tests.support import held_up


async def begin(app: App, tokens: dict[str, Any], **changed: str) -> httpx.Response:
    body = {"return_to": RETURN_TO, "code_challenge": app.challenge} | changed
    return await app.auth.post(f"{PREFIX}/identities/{app.provider}", json=body, headers=bearer(tokens))


async def code_of(app: App, tokens: dict[str, Any]) -> str:
    answer = await begin(app, tokens)
    assert answer.status_code == 200, answer.text
    back = await app.come_back(await app.consent(answer.json()["url"]))
    return dict(parse_qsl(urlsplit(back.headers["location"]).query))["code"]


async def test_an_added_provider_signs_in_to_the_same_account(reached: httpx.AsyncClient, account: Account) -> None:
    app = App(reached)
    answer = await app.exchange(await code_of(app, await account.login()))
    assert answer.status_code == 200, answer.text
    me = await reached.get(f"{PREFIX}/me", headers=bearer(await app.sign_in()))
    assert me.json()["id"] == str(account.id)


async def test_a_link_that_a_stranger_sent_links_nothing(reached: httpx.AsyncClient, account: Account, db: Any) -> None:
    """The stranger began it for their own account; the person's browser comes back without the stranger's verifier."""
    stranger, victim = App(reached), App(reached)
    code = await code_of(stranger, await account.login())
    assert (await victim.exchange(code)).status_code == 401
    assert (await reached.get(f"{PREFIX}/identities", headers=bearer(await account.login()))).json() == []


async def test_an_account_of_the_provider_belongs_to_one_person(reached: httpx.AsyncClient, new_account: Any) -> None:
    first, second = await new_account(), await new_account()
    app = App(reached)
    assert (await app.exchange(await code_of(app, await first.login()))).status_code == 200
    answer = await app.exchange(await code_of(app, await second.login()))
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:eco2:auth:identity-taken")


@pytest.mark.parametrize("changed", [{"return_to": "https://evil.example/"}, {"code_challenge": "x"}])
async def test_it_takes_what_a_sign_in_takes(reached: httpx.AsyncClient, account: Account, changed: Any) -> None:
    assert (await begin(App(reached), await account.login(), **changed)).status_code == 400


async def test_an_ended_session_links_nothing(reached: httpx.AsyncClient, account: Account) -> None:
    tokens = await account.login()
    await reached.post(f"{PREFIX}/logout", headers=bearer(tokens))
    assert (await begin(App(reached), tokens)).status_code == 401


@pytest.mark.parametrize("step", ["begin", "come back", "exchange"])
async def test_who_is_erased_meanwhile_is_told_so_and_nothing_is_written_of_them(
    reached: httpx.AsyncClient, account: Account, db: Callable[[str], Awaitable[Database]], step: str
) -> None:
    app, tokens, database = App(reached), await account.login(), await db("auth")
    url = (await begin(app, tokens)).json()["url"]
    code = await code_of(app, tokens)
    steps = {
        "begin": lambda: begin(app, tokens),
        "come back": lambda: app.come_back(url),
        "exchange": lambda: app.exchange(code),
    }
    if step == "come back":
        url = await app.consent(url)
    async with database.transaction() as conn:
        await conn.execute("SELECT FROM users WHERE id = %s FOR UPDATE", [account.id])
        late = await held_up(steps[step](), by=conn)
        await sql.delete_person(conn, account.id)
    answer = await late
    if step == "come back":
        assert (answer.status_code, answer.headers["location"]) == (303, f"{RETURN_TO}?error=provider_failed")
    else:
        assert answer.status_code == 401
