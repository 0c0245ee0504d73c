"""GET /oauth/{provider}/callback"""

from collections.abc import Awaitable, Callable
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from functions.auth import db as sql
from shared import clock
from shared.db import Database
from tests.auth.conftest import PASSWORD_HASH, Account, bearer
from tests.auth.signing_in import App
from tests.support import held_up


@pytest.mark.parametrize("provider", ["kakao", "google", "naver"])
async def test_a_new_person_gets_an_account_and_comes_back_to_it(reached: httpx.AsyncClient, provider: str) -> None:
    app = App(reached, provider)
    tokens = await app.sign_in()
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    me = (await reached.get("/api/v1/auth/me", headers=headers)).json()
    assert (me["email"], me["has_password"]) == (app.email, False)
    # Naver does not say whether it has checked an address.
    assert me["email_verified"] is (provider != "naver")
    again = App(reached, provider)
    again.subject, again.email = app.subject, app.email
    tokens = await again.sign_in()
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert (await reached.get("/api/v1/auth/me", headers=headers)).json()["id"] == me["id"]


async def test_a_changed_address_is_the_same_person(reached: httpx.AsyncClient) -> None:
    app = App(reached)
    await app.sign_in()
    old, app.email = app.email, f"new-{app.email}"
    tokens = await app.sign_in()
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert (await reached.get("/api/v1/auth/me", headers=headers)).json()["email"] == old
    [identity] = (await reached.get("/api/v1/auth/identities", headers=headers)).json()
    assert identity["email"] == app.email


@pytest.mark.parametrize(
    ("outcome", "error"), [("denied", "access_denied"), ("no-email", "email_required")], ids=["denied", "no-email"]
)
async def test_a_failure_leads_back_with_its_name(reached: httpx.AsyncClient, outcome: str, error: str) -> None:
    assert await App(reached).walk(outcome) == {"error": error}


@pytest.mark.parametrize("said", ["error=access_denied", "error=server_error", "error=server_error&code=c", ""])
async def test_only_who_says_no_is_told_that_they_did(reached: httpx.AsyncClient, said: str) -> None:
    app = App(reached)
    url = await app.consent((await app.start()).headers["location"])
    state = dict(parse_qsl(urlsplit(url).query))["state"]
    answer = await app.come_back(f"{url.partition('?')[0]}?state={state}&{said}")
    told = "access_denied" if "denied" in said else "provider_failed"
    assert answer.headers["location"].endswith(f"error={told}")


async def test_an_unverified_address_is_not_taken_for_verified(reached: httpx.AsyncClient) -> None:
    app = App(reached)
    answer = await app.exchange((await app.walk("unverified"))["code"])
    headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    assert (await reached.get("/api/v1/auth/me", headers=headers)).json()["email_verified"] is False


async def test_somebody_else_s_address_signs_nobody_in(reached: httpx.AsyncClient, account: Account) -> None:
    app = App(reached)
    app.email = account.email.upper()
    assert await app.walk() == {"error": "account_exists"}


async def test_of_two_first_sign_ins_at_once_one_makes_the_account(
    reached: httpx.AsyncClient, account: Account, db: Callable[[str], Awaitable[Database]]
) -> None:
    app, database = App(reached), await db("auth")
    back = await app.consent((await app.start()).headers["location"])
    async with database.transaction() as conn:
        assert await sql.insert_identity(conn, account.id, app.provider, app.subject, None, clock.now())
        second = await held_up(app.come_back(back), by=conn)
    assert (await second).headers["location"].endswith("error=provider_failed")
    async with database.connection() as conn:
        assert await sql.select_id_by_email(conn, app.email) is None


async def test_who_sets_a_password_by_mail_has_one(
    reached: httpx.AsyncClient, db: Callable[[str], Awaitable[Database]]
) -> None:
    app, database = App(reached), await db("auth")
    tokens = await app.sign_in()
    async with database.connection() as conn:
        user_id = await sql.select_id_by_email(conn, app.email)
        assert user_id is not None
        await sql.update_password_by_mail(conn, user_id, PASSWORD_HASH)
    me = await reached.get("/api/v1/auth/me", headers=bearer(tokens))
    assert me.json()["has_password"] is True


async def test_a_wrong_state_is_refused_and_leads_nowhere(reached: httpx.AsyncClient) -> None:
    app = App(reached)
    started = await app.start()
    answer = await app.come_back(await app.consent(started.headers["location"], "wrong-state"))
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:eco2:auth:unknown-state")


async def test_coming_back_works_once(reached: httpx.AsyncClient) -> None:
    app = App(reached)
    url = await app.consent((await app.start()).headers["location"])
    assert (await app.come_back(url)).status_code == 303
    assert (await app.come_back(url)).status_code == 400


async def test_a_person_has_ten_minutes_at_the_provider(
    reached: httpx.AsyncClient, later: Callable[[float], None]
) -> None:
    app = App(reached)
    early, late = [await app.consent((await app.start()).headers["location"]) for _ in range(2)]
    later(590)
    assert (await app.come_back(early)).status_code == 303
    later(11)
    assert (await app.come_back(late)).status_code == 400


async def test_another_provider_s_state_is_none_of_this_one_s(reached: httpx.AsyncClient) -> None:
    app = App(reached)
    url = await app.consent((await app.start()).headers["location"])
    assert (await app.come_back(url.replace("/kakao/", "/google/"))).status_code == 400


async def test_a_code_that_the_provider_refuses_is_named(reached: httpx.AsyncClient) -> None:
    app = App(reached)
    url = await app.consent((await app.start()).headers["location"])
    answer = await app.come_back(url.replace("code=", "code=x"))
    assert answer.headers["location"].endswith("error=provider_failed")
