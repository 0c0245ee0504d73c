"""GET /oauth/{provider}/start"""

from collections.abc import Awaitable, Callable
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from functions.auth import returning, start_oauth
from shared.errors import BadInput
from shared.ids import new_id
from shared.settings import Settings
from tests.auth.conftest import Outside
from tests.auth.signing_in import App

LEADS_BACK_TO = Settings(
    oauth_return_to="http://localhost:*, https://app.eco2.example/auth, https://any.eco2.example:*, http://[, https://any.eco2.example/auth"
)


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


async def test_it_leads_back_to_nobody_else(reached: httpx.AsyncClient) -> None:
    answer = await App(reached).start(return_to="https://evil.example/")
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "return_to"


@pytest.mark.parametrize(
    "return_to",
    [
        "http://localhost.evil.example:5173/",
        "http://localhost:5173@evil.example/",
        "https://app.eco2.example/authority",
        "https://app.eco2.example/auth/../admin",
        "https://app.eco2.example/auth/%2e%2E/admin",
        "https://app.eco2.example/auth/..",
        # To a browser these are strokes the other way.
        "https://app.eco2.example/auth/\\..\\admin",
        # Any port is one of this machine's alone.
        "https://any.eco2.example:8443/",
        "https://app.eco2.example:8443/auth",
        "javascript:alert(1)",
        "//evil.example",
        "http://[",
    ],
)
def test_what_only_looks_like_an_allowed_address_is_none(return_to: str) -> None:
    with pytest.raises(BadInput, match="return_to"):
        returning.check(return_to, LEADS_BACK_TO)


@pytest.mark.parametrize(
    "return_to",
    [
        "https://app.eco2.example/auth",
        "https://app.eco2.example/auth/done?a=1",
        "http://localhost:5173/signed-in",
        # What is no address (a port `*` of another machine) hides none of those behind it.
        "https://any.eco2.example/auth",
    ],
)
def test_addresses_below_an_allowed_path_will_do(return_to: str) -> None:
    returning.check(return_to, LEADS_BACK_TO)


@pytest.mark.parametrize("own", ["", "?a=1", "?a=1&b=%20"])
def test_the_answer_comes_behind_what_the_app_s_address_says_itself(own: str) -> None:
    answered = returning.with_answer(f"https://app.eco2.example/auth{own}", code="x&y")
    assert answered == f"https://app.eco2.example/auth{own}{'&' if own else '?'}code=x%26y"


async def test_without_a_challenge_it_is_refused(reached: httpx.AsyncClient) -> None:
    answer = await App(reached).start(code_challenge="short")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "code_challenge")


async def test_an_unknown_provider_is_404(reached: httpx.AsyncClient) -> None:
    answer = await App(reached, "facebook").start()
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:eco2:auth:unknown-provider")


async def test_nothing_is_set_up_by_itself(auth: httpx.AsyncClient) -> None:
    assert (await App(auth).start()).status_code == 404
