"""A person's sessions, page by page"""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest

from functions.auth import db as sql
from shared import clock
from shared.db import Database
from shared.ids import new_id
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


async def test_a_session_whose_time_is_over_is_in_no_list(
    account: Account, db: Callable[[str], Awaitable[Database]]
) -> None:
    now = clock.now()
    async with (await db("auth")).transaction() as conn:
        for seconds in (-1, 0, 60):
            mark = f"{account.id}{seconds}"
            ends = now + timedelta(seconds=seconds)
            await sql.insert_session(conn, sql.SessionRow(new_id(), account.id, mark, ends, now))
        listed = await sql.select_sessions(conn, account.id, now, None, 10)
    assert [one.token for one in listed] == [f"{account.id}60"]


@pytest.mark.parametrize("query", [{"limit": 0}, {"limit": 101}, {"limit": "x"}, {"cursor": "x"}, {"cursor": "é"}])
async def test_a_bad_page_is_400_and_named(account: Account, query: dict[str, Any]) -> None:
    tokens = await account.login()
    answer = await account.client.get(SESSIONS, headers=bearer(tokens), params=query)
    assert answer.status_code == 400, answer.text
    assert [error["field"] for error in answer.json()["errors"]] == list(query)
