"""GET /identities"""

import httpx

from tests.auth.conftest import Account, bearer
from tests.auth.signing_in import PREFIX, App


async def test_a_person_sees_their_own(reached: httpx.AsyncClient, account: Account) -> None:
    app = App(reached, "naver")
    tokens = await app.sign_in()
    [one] = (await reached.get(f"{PREFIX}/identities", headers=bearer(tokens))).json()
    assert (one["provider"], one["email"], set(one)) == ("naver", app.email, {"provider", "email", "created_at"})
    assert (await reached.get(f"{PREFIX}/identities", headers=bearer(await account.login()))).json() == []
