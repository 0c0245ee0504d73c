"""Who confirms what a stolen token must not be able to do, without having a password"""

from collections.abc import Callable

import httpx

from tests.auth.conftest import ME, bearer
from tests.auth.signing_in import App


async def test_who_has_no_password_confirms_by_a_sign_in_of_the_last_ten_minutes(
    reached: httpx.AsyncClient, later: Callable[[float], None]
) -> None:
    early, late = [await App(reached).sign_in() for _ in range(2)]

    async def erase(tokens: dict[str, str]) -> tuple[int, str]:
        answer = await reached.request("DELETE", ME, json={"password": "none"}, headers=bearer(tokens))
        return answer.status_code, answer.json()["type"] if answer.content else ""

    later(590)
    assert await erase(early) == (202, "")
    later(11)
    assert await erase(late) == (403, "urn:eco2:auth:sign-in-again")
