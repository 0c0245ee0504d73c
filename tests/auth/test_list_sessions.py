"""A person's sessions, page by page"""

from typing import Any

import httpx
import pytest

from tests.auth.conftest import ME, SESSIONS, Account, bearer

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
