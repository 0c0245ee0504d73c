"""DELETE /identities/{provider}"""

import httpx

from tests.auth.conftest import Account, bearer
from tests.auth.signing_in import PREFIX, App
from tests.auth.test_link_identity import code_of


async def test_the_last_way_in_stays(reached: httpx.AsyncClient) -> None:
    app = App(reached)
    tokens = await app.sign_in()
    answer = await reached.delete(f"{PREFIX}/identities/kakao", headers=bearer(tokens))
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:eco2:auth:last-way-in")
    google = App(reached, "google")
    tokens = (await google.exchange(await code_of(google, tokens))).json()
    assert (await reached.delete(f"{PREFIX}/identities/kakao", headers=bearer(tokens))).status_code == 204
    [left] = (await reached.get(f"{PREFIX}/identities", headers=bearer(tokens))).json()
    assert left["provider"] == "google"


async def test_who_has_a_password_may_remove_all(reached: httpx.AsyncClient, account: Account) -> None:
    app = App(reached)
    tokens = (await app.exchange(await code_of(app, await account.login()))).json()
    assert (await reached.delete(f"{PREFIX}/identities/kakao", headers=bearer(tokens))).status_code == 204
    assert (await reached.delete(f"{PREFIX}/identities/kakao", headers=bearer(tokens))).status_code == 404
