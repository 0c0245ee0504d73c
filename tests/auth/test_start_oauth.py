"""GET /oauth/{provider}/start"""

from collections.abc import Awaitable, Callable
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from functions.auth import start_oauth
from shared.ids import new_id
from tests.auth.conftest import Outside
from tests.auth.signing_in import App


async def test_it_leads_to_the_provider_with_pkce_state_and_nonce(reached: httpx.AsyncClient, outside: Outside) -> None:
    answer = await App(reached).start()
    assert answer.status_code == 303
    assert answer.headers["cache-control"] == "no-store"
    url = urlsplit(answer.headers["location"])
    assert f"{url.scheme}://{url.netloc}" == outside.url
    query = {name: values[0] for name, values in parse_qs(url.query).items()}
    assert query["response_type"] == "code"
    assert query["code_challenge_method"] == "S256"
    assert query["redirect_uri"] == "http://api.test/api/v1/auth/oauth/kakao/callback"
    assert len(query["state"]) >= 32
    assert query["nonce"] != query["state"]
    # The provider is given a challenge of ours: the app's would let the provider exchange our code.
    assert query["code_challenge"] != App(reached).challenge


async def test_one_address_begins_so_many_and_keeps_no_other_from_it(
    serve: Callable[..., Awaitable[httpx.AsyncClient]], outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start_oauth, "BEGUN", (2, 60.0))
    auth = await serve("auth", **outside.environment, TRUSTED_HOPS="1")

    async def begun(address: str) -> int:
        auth.headers["X-Forwarded-For"] = address
        return (await App(auth).start()).status_code

    one, other = (f"2001:db8:{new_id().hex[-4:]}:{new_id().hex[-4:]}::1" for _ in range(2))
    assert [await begun(address) for address in (one, one, one, other)] == [303, 303, 429, 303]


@pytest.mark.parametrize(
    "return_to",
    [
        "https://evil.example/",
        "http://localhost.evil.example:5173/",
        "http://localhost:5173@evil.example/",
        "https://app.eco2.example/authority",
        "https://app.eco2.example/auth/../admin",
        "https://app.eco2.example/auth/%2e%2E/admin",
        "https://app.eco2.example/auth/..",
        "https://app.eco2.example:8443/auth",
        "javascript:alert(1)",
        "//evil.example",
        "http://[",
    ],
)
async def test_it_leads_back_to_nobody_else(reached: httpx.AsyncClient, return_to: str) -> None:
    answer = await App(reached).start(return_to=return_to)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "return_to"


@pytest.mark.parametrize("return_to", ["https://app.eco2.example/auth", "https://app.eco2.example/auth/done?a=1"])
async def test_addresses_below_an_allowed_path_will_do(reached: httpx.AsyncClient, return_to: str) -> None:
    assert (await App(reached).start(return_to=return_to)).status_code == 303


async def test_without_a_challenge_it_is_refused(reached: httpx.AsyncClient) -> None:
    answer = await App(reached).start(code_challenge="short")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "code_challenge")


async def test_an_unknown_provider_is_404(reached: httpx.AsyncClient) -> None:
    answer = await App(reached, "facebook").start()
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:eco2:auth:unknown-provider")


async def test_nothing_is_set_up_by_itself(auth: httpx.AsyncClient) -> None:
    assert (await App(auth).start()).status_code == 404
