"""POST /logout"""

import httpx

from tests.auth.conftest import Account, bearer

PATH = "/api/v1/auth/logout"


async def refreshes(account: Account, tokens: dict[str, str]) -> bool:
    body = {"refresh_token": tokens["refresh_token"]}
    return (await account.client.post("/api/v1/auth/refresh", json=body)).status_code == 200


async def test_the_access_token_s_session_ends_and_no_other(account: Account) -> None:
    here, there = await account.login(), await account.login()
    answer = await account.client.post(PATH, headers=bearer(here))
    assert (answer.status_code, answer.content) == (204, b"")
    assert (await account.client.get("/api/v1/auth/me", headers=bearer(here))).status_code == 401
    assert not await refreshes(account, here)
    assert await refreshes(account, there)


async def test_a_refresh_token_alone_ends_its_session(account: Account) -> None:
    tokens = await account.login()
    answer = await account.client.post(PATH, json={"refresh_token": tokens["refresh_token"]})
    assert answer.status_code == 204
    assert not await refreshes(account, tokens)


async def test_whoever_sends_both_tokens_ends_what_either_names(account: Account) -> None:
    here, there = await account.login(), await account.login()
    body = {"refresh_token": there["refresh_token"]}
    assert (await account.client.post(PATH, json=body, headers=bearer(here))).status_code == 204
    assert [await refreshes(account, tokens) for tokens in (here, there)] == [False, False]


async def test_an_unknown_refresh_token_is_as_good_as_logged_out(auth: httpx.AsyncClient) -> None:
    assert (await auth.post(PATH, json={"refresh_token": "unknown"})).status_code == 204


async def test_with_neither_token_there_is_nobody_to_log_out(auth: httpx.AsyncClient) -> None:
    assert (await auth.post(PATH)).status_code == 401
    assert (await auth.post(PATH, json={})).status_code == 401


async def test_a_bad_access_token_is_401(auth: httpx.AsyncClient) -> None:
    assert (await auth.post(PATH, headers={"Authorization": "Bearer x.y.z"})).status_code == 401


async def test_a_malformed_body_is_400(auth: httpx.AsyncClient) -> None:
    for content in (b"{", b"[]", b'{"refresh_token": 7}', b'{"refresh_token": "\xff"}'):
        answer = await auth.post(PATH, content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code == 400, content
