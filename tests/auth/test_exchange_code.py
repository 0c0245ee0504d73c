"""POST /oauth/exchange"""

import asyncio
from collections.abc import Callable

import httpx

from tests.auth.signing_in import App


async def test_a_code_is_good_once(reached: httpx.AsyncClient) -> None:
    app = App(reached)
    code = (await app.walk())["code"]
    answers = await asyncio.gather(*(app.exchange(code) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401, 401]
    assert answers[0].headers["cache-control"] == "no-store"


async def test_only_the_app_that_began_can_exchange(reached: httpx.AsyncClient) -> None:
    app = App(reached)
    code = (await app.walk())["code"]
    stranger = App(reached)
    answer = await stranger.exchange(code)
    assert (answer.status_code, answer.json()["type"]) == (401, "urn:eco2:auth:invalid-code")
    # It is used up: no one tries verifiers one by one.
    assert (await app.exchange(code)).status_code == 401


async def test_a_code_lives_a_minute(reached: httpx.AsyncClient, later: Callable[[float], None]) -> None:
    app = App(reached)
    code = (await app.walk())["code"]
    later(61)
    assert (await app.exchange(code)).status_code == 401
