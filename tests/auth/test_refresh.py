"""POST /refresh: one line of tokens a session, whatever is lost, repeated, raced or stolen"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from functions.auth import tokens as tokens_module
from functions.auth.sweep import sweep
from shared.db import Database
from tests.auth.conftest import Account, bearer

PATH = "/api/v1/auth/refresh"


async def refresh(account: Account, token: str) -> httpx.Response:
    return await account.client.post(PATH, json={"refresh_token": token})


async def alive(account: Account, tokens: dict[str, Any]) -> bool:
    return (await account.client.get("/api/v1/auth/me", headers=bearer(tokens))).status_code == 200


async def test_tokens_are_exchanged_for_new_ones_of_the_same_session(account: Account) -> None:
    first = await account.login()
    second = (await refresh(account, first["refresh_token"])).json()
    assert set(second) == {"access_token", "token_type", "expires_in", "refresh_token"}
    assert second["refresh_token"] != first["refresh_token"]
    third = (await refresh(account, second["refresh_token"])).json()
    listed = await account.client.get("/api/v1/auth/sessions", headers=bearer(third))
    assert [session["current"] for session in listed.json()["items"]] == [True]


async def test_a_session_that_is_refreshed_lives_on_for_as_long_as_a_new_one(
    account: Account, db: Callable[[str], Awaitable[Database]], later: Callable[[float], None]
) -> None:
    database, days = await db("auth"), 86_400.0
    held = await account.login()
    for _ in range(2):
        later(29 * days)
        await sweep(database)
        answer = await refresh(account, held["refresh_token"])
        assert answer.status_code == 200, answer.text
        held = answer.json()
    later(31 * days)
    assert (await refresh(account, held["refresh_token"])).status_code == 401


async def test_a_lost_answer_may_be_asked_for_again_and_is_the_same(account: Account) -> None:
    first = await account.login()
    second = (await refresh(account, first["refresh_token"])).json()
    again = await refresh(account, first["refresh_token"])
    assert again.status_code == 200
    assert again.json()["refresh_token"] == second["refresh_token"]
    assert (await refresh(account, second["refresh_token"])).status_code == 200


async def test_refreshes_at_once_all_get_the_same_successor(account: Account) -> None:
    first = await account.login()
    answers = await asyncio.gather(*(refresh(account, first["refresh_token"]) for _ in range(8)))
    assert {answer.status_code for answer in answers} == {200}
    successors = {answer.json()["refresh_token"] for answer in answers}
    assert len(successors) == 1
    assert (await refresh(account, successors.pop())).status_code == 200


async def test_a_token_whose_successor_was_used_is_a_replay_and_ends_the_session(account: Account) -> None:
    first = await account.login()
    second = (await refresh(account, first["refresh_token"])).json()
    third = (await refresh(account, second["refresh_token"])).json()
    replay = await refresh(account, first["refresh_token"])
    assert (replay.status_code, replay.json()["type"]) == (401, "urn:eco2:auth:refresh-token-replayed")
    assert replay.headers["www-authenticate"] == "Bearer"
    assert (await refresh(account, third["refresh_token"])).status_code == 401
    assert not await alive(account, third)


async def test_after_the_grace_a_repeat_is_a_replay(account: Account, later: Callable[[float], None]) -> None:
    first = await account.login()
    second = (await refresh(account, first["refresh_token"])).json()
    later(29)
    assert (await refresh(account, first["refresh_token"])).status_code == 200
    later(2)
    assert (await refresh(account, first["refresh_token"])).status_code == 401
    assert (await refresh(account, second["refresh_token"])).status_code == 401


async def test_a_replay_ends_no_other_session(account: Account) -> None:
    other = await account.login()
    first = await account.login()
    second = (await refresh(account, first["refresh_token"])).json()
    await refresh(account, second["refresh_token"])
    assert (await refresh(account, first["refresh_token"])).status_code == 401
    assert await alive(account, other)


async def test_a_replay_races_a_refresh_and_the_session_ends_either_way(account: Account) -> None:
    first = await account.login()
    second = (await refresh(account, first["refresh_token"])).json()
    third = (await refresh(account, second["refresh_token"])).json()
    answers = await asyncio.gather(
        *(refresh(account, token) for token in (third["refresh_token"], first["refresh_token"]) * 3)
    )
    assert {answer.status_code for answer in answers} <= {200, 401}
    for answer in answers:
        if answer.status_code == 200:
            assert (await refresh(account, answer.json()["refresh_token"])).status_code == 401


@pytest.mark.parametrize("token", ["unknown", "a" * 500, "'; drop table auth.users; --", "\u0000", "한글"])
async def test_an_unknown_token_is_401(account: Account, token: str) -> None:
    answer = await refresh(account, token)
    assert answer.status_code == 401, answer.text
    assert answer.json()["type"] == "urn:eco2:auth:invalid-refresh-token"


@pytest.mark.parametrize("body", [{}, {"refresh_token": ""}, {"refresh_token": "a" * 501}, {"refresh_token": 7}, []])
async def test_a_malformed_body_is_400(auth: httpx.AsyncClient, body: Any) -> None:
    assert (await auth.post(PATH, json=body)).status_code == 400


async def test_an_access_token_refreshes_nothing(account: Account) -> None:
    tokens = await account.login()
    assert (await refresh(account, tokens["access_token"])).status_code in (400, 401)


async def test_a_session_that_was_not_refreshed_for_thirty_days_has_ended(
    account: Account, later: Callable[[float], None]
) -> None:
    tokens = await account.login()
    later(20 * 86400)
    tokens = (await refresh(account, tokens["refresh_token"])).json()
    later(29 * 86400)
    tokens = (await refresh(account, tokens["refresh_token"])).json()
    later(30 * 86400 + 1)
    assert (await refresh(account, tokens["refresh_token"])).status_code == 401


async def test_the_database_holds_hashes_only_and_one_nonce_a_session(
    account: Account, db: Callable[[str], Awaitable[Database]]
) -> None:
    seen = [await account.login()]
    for _ in range(3):
        seen.append((await refresh(account, seen[-1]["refresh_token"])).json())
    async with (await db("auth")).connection() as conn:
        cur = await conn.execute(
            "SELECT r.token, r.nonce, s.token FROM refresh_tokens r JOIN sessions s ON s.id = r.session_id"
            " WHERE r.user_id = %s",
            [account.id],
        )
        rows = await cur.fetchall()
    assert {row[0] for row in rows} == {tokens_module.hash_of(each["refresh_token"]) for each in seen}
    assert {row[2] for row in rows} == {tokens_module.hash_of(seen[-1]["refresh_token"])}
    assert sum(row[1] is not None for row in rows) == 1
