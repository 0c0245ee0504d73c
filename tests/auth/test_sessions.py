"""GET /me, GET /sessions, DELETE /sessions/{id} and PUT /password"""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from functions.auth.sweep import sweep
from shared import clock
from shared.db import Database
from tests.auth.conftest import PASSWORD, Account, bearer

ME = "/api/v1/auth/me"
SESSIONS = "/api/v1/auth/sessions"
PASSWORD_PATH = "/api/v1/auth/password"


async def status(account: Account, tokens: dict[str, Any]) -> int:
    return (await account.client.get(ME, headers=bearer(tokens))).status_code


async def test_me_says_who_the_token_is_with_an_etag(account: Account) -> None:
    tokens = await account.login()
    answer = await account.client.get(ME, headers=bearer(tokens))
    assert set(answer.json()) == {"id", "username", "email", "created_at"}
    assert answer.json()["email"] == account.email
    assert answer.json()["created_at"].endswith("Z")
    same = await account.client.get(ME, headers={**bearer(tokens), "If-None-Match": answer.headers["etag"]})
    assert same.status_code == 304


# The same in every process: pytest-xdist compares what its workers have collected.
ABSENT = "01980000-0000-7000-8000-000000000000"


@pytest.mark.parametrize(("method", "path"), [("GET", ME), ("GET", SESSIONS), ("DELETE", f"{SESSIONS}/{ABSENT}")])
async def test_without_a_token_there_is_nothing(auth: httpx.AsyncClient, method: str, path: str) -> None:
    answer = await auth.request(method, path)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.headers["content-type"] == "application/problem+json"


async def test_sessions_are_listed_newest_first_page_by_page(account: Account) -> None:
    all_tokens = [await account.login() for _ in range(5)]
    head = bearer(all_tokens[2])
    seen: list[dict[str, Any]] = []
    cursor = None
    for _ in range(3):
        query = {"limit": 2, **({"cursor": cursor} if cursor else {})}
        page = (await account.client.get(SESSIONS, headers=head, params=query)).json()
        seen += page["items"]
        cursor = page["next_cursor"]
    assert cursor is None
    assert len({session["id"] for session in seen}) == 5
    assert [session["created_at"] for session in seen] == sorted((s["created_at"] for s in seen), reverse=True)
    assert [session["current"] for session in seen] == [False, False, True, False, False]
    assert set(seen[0]) == {"id", "created_at", "expires_at", "current"}


@pytest.mark.parametrize("query", [{"limit": 0}, {"limit": 101}, {"limit": "x"}, {"cursor": "x"}, {"cursor": "é"}])
async def test_a_bad_page_is_400_and_named(account: Account, query: dict[str, Any]) -> None:
    tokens = await account.login()
    answer = await account.client.get(SESSIONS, headers=bearer(tokens), params=query)
    assert answer.status_code == 400, answer.text
    assert [error["field"] for error in answer.json()["errors"]] == list(query)


async def test_a_lost_telephone_is_logged_out_from_elsewhere(account: Account) -> None:
    lost, here = await account.login(), await account.login()
    sessions = (await account.client.get(SESSIONS, headers=bearer(here))).json()["items"]
    (other,) = [session for session in sessions if not session["current"]]
    assert (await account.client.delete(f"{SESSIONS}/{other['id']}", headers=bearer(here))).status_code == 204
    assert await status(account, lost) == 401
    assert await status(account, here) == 200
    again = await account.client.delete(f"{SESSIONS}/{other['id']}", headers=bearer(here))
    assert again.status_code == 404


async def test_a_token_whose_session_has_ended_neither_sees_nor_ends_the_others(account: Account) -> None:
    """Whether or not the revocation has been heard yet: nobody follows Redis in this test."""
    thief, here = await account.login(), await account.login()
    sessions = (await account.client.get(SESSIONS, headers=bearer(here))).json()["items"]
    (mine,) = [session for session in sessions if session["current"]]
    (stolen,) = [session for session in sessions if not session["current"]]
    assert (await account.client.delete(f"{SESSIONS}/{stolen['id']}", headers=bearer(here))).status_code == 204
    assert (await account.client.get(SESSIONS, headers=bearer(thief))).status_code == 401
    assert (await account.client.delete(f"{SESSIONS}/{mine['id']}", headers=bearer(thief))).status_code == 401
    assert await status(account, here) == 200


async def test_another_person_s_session_does_not_exist(
    account: Account, new_account: Callable[[], Awaitable[Account]]
) -> None:
    mine, theirs = await account.login(), await (await new_account()).login()
    (session,) = (await account.client.get(SESSIONS, headers=bearer(theirs))).json()["items"]
    answer = await account.client.delete(f"{SESSIONS}/{session['id']}", headers=bearer(mine))
    absent = await account.client.delete(f"{SESSIONS}/{uuid4()}", headers=bearer(mine))
    assert answer.status_code == absent.status_code == 404
    assert answer.json()["detail"] == absent.json()["detail"]
    assert await status(account, theirs) == 200


async def test_a_stale_if_match_ends_no_session(account: Account) -> None:
    tokens = await account.login()
    (session,) = (await account.client.get(SESSIONS, headers=bearer(tokens))).json()["items"]
    path = f"{SESSIONS}/{session['id']}"
    stale = await account.client.delete(path, headers={**bearer(tokens), "If-Match": '"stale"'})
    assert stale.status_code == 412
    assert (await account.client.delete(path, headers={**bearer(tokens), "If-Match": "*"})).status_code == 204


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


async def test_a_stolen_access_token_guesses_no_password(account: Account) -> None:
    tokens = await account.login()
    answers = [await change(account, tokens, "not it at all", "a new password") for _ in range(11)]
    assert [answer.status_code for answer in answers] == [403] * 10 + [429]


async def test_what_has_expired_is_swept(account: Account, db: Callable[[str], Awaitable[Database]]) -> None:
    live = await account.login()
    old = await account.login()
    async with (await db("auth")).connection() as conn:
        sessions = (await account.client.get(SESSIONS, headers=bearer(old))).json()["items"]
        await conn.execute(
            "UPDATE sessions SET expires_at = %s WHERE id = %s", [clock.now() - timedelta(seconds=1), sessions[0]["id"]]
        )
    await sweep(await db("auth"))
    async with (await db("auth")).connection() as conn:
        cur = await conn.execute("SELECT count(*) FROM refresh_tokens WHERE user_id = %s", [account.id])
        assert await cur.fetchone() == (1,)
    assert await status(account, live) == 200
