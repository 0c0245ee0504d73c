"""What an identity provider refuses: each wrong part of a request alone."""

import base64
import hashlib
from collections.abc import Callable
from pathlib import Path

import httpx
import jwt
import pytest

from emulator.outside import identity
from emulator.outside.app import build
from emulator.outside.identity import Identity, Refused
from emulator.outside.mailbox import Mailbox
from emulator.outside.providers import CLIENT_ID, CLIENT_SECRET
from shared import clock

HERE = "http://127.0.0.1:1/cb/google"
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
ASKED = {"client_id": CLIENT_ID, "redirect_uri": HERE, "response_type": "code", "nonce": "n"}
ASKED |= {"code_challenge": CHALLENGE, "code_challenge_method": "S256"}
FORM = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "grant_type": "authorization_code"}
FORM |= {"redirect_uri": HERE, "code_verifier": VERIFIER}


@pytest.fixture(scope="module")
def provider() -> Identity:
    return Identity("http://127.0.0.1:2", ("http://127.0.0.1:1/cb/{provider}",))


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"client_id": "other"}, "unauthorized_client"),
        ({"redirect_uri": "http://127.0.0.1:1/cb/kakao"}, "invalid_request"),
        ({"redirect_uri": f"{HERE}/further"}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
    ],
)
def test_a_request_for_consent_is_refused(provider: Identity, changed: dict[str, str], error: str) -> None:
    provider.check_request("google", ASKED)
    provider.check_request("google", {k: v for k, v in ASKED.items() if not k.startswith("code_challenge")})
    with pytest.raises(Refused, match=f"^{error}: "):
        provider.check_request("google", ASKED | changed)
    with pytest.raises(Refused, match="there is no provider other"):
        provider.check_request("other", ASKED)


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"client_id": "other"}, "invalid_client"),
        ({"client_secret": "other"}, "invalid_client"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"redirect_uri": "http://127.0.0.1:1/cb/kakao"}, "invalid_grant: redirect_uri"),
        ({"code_verifier": "w" * 43}, "invalid_grant: code_verifier"),
        ({"code_verifier": ""}, "invalid_grant: code_verifier"),
        ({"code": "unknown"}, "invalid_grant: the code"),
    ],
)
def test_a_code_is_refused_that_comes_with_anything_else(
    provider: Identity, changed: dict[str, str], error: str
) -> None:
    code = provider.grant("google", ASKED, {"sub": "1"})
    with pytest.raises(Refused, match=f"^{error}"):
        provider.exchange("google", FORM | {"code": code} | changed)


def test_a_code_is_good_once_at_its_own_provider_and_says_who_it_is(provider: Identity) -> None:
    code = provider.grant("google", ASKED, {"sub": "1", "email": "a@example.com"})
    found = provider.exchange("google", FORM | {"code": code})
    (key,) = provider.keys()["keys"]
    said = jwt.decode(
        found["id_token"], jwt.PyJWK(key), ["RS256"], audience=CLIENT_ID, issuer=provider.issuer("google")
    )
    assert (said["sub"], said["email"], said["nonce"], said["exp"] - said["iat"]) == ("1", "a@example.com", "n", 600)
    assert provider.claims(found["access_token"]) == {"sub": "1", "email": "a@example.com"}
    assert provider.claims("another") is None
    with pytest.raises(Refused, match="invalid_grant: the code is unknown, used or expired"):
        provider.exchange("google", FORM | {"code": code})
    code = provider.grant("google", ASKED, {"sub": "1"})
    with pytest.raises(Refused, match="invalid_grant"):
        provider.exchange("kakao", FORM | {"code": code})


def test_a_code_that_was_asked_for_without_a_challenge_needs_no_verifier(provider: Identity) -> None:
    code = provider.grant(
        "google", {k: v for k, v in ASKED.items() if not k.startswith("code_challenge")}, {"sub": "1"}
    )
    without = {name: value for name, value in FORM.items() if name != "code_verifier"}
    assert provider.exchange("google", without | {"code": code})["token_type"] == "Bearer"


def test_a_code_ends_after_a_minute(provider: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    def later(seconds: float) -> Callable[[], float]:
        return lambda: 2e9 + seconds

    monkeypatch.setattr(clock, "time", later(0))
    codes = [provider.grant("google", ASKED, {"sub": "1"}) for _ in range(2)]
    monkeypatch.setattr(clock, "time", later(59.9))
    provider.exchange("google", FORM | {"code": codes[0]})
    monkeypatch.setattr(clock, "time", later(60))
    with pytest.raises(Refused, match="invalid_grant"):
        provider.exchange("google", FORM | {"code": codes[1]})


def test_the_newest_codes_and_tokens_are_remembered(provider: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "MOST", 2)
    codes = [provider.grant("google", ASKED, {"sub": str(number)}) for number in range(3)]
    with pytest.raises(Refused):
        provider.exchange("google", FORM | {"code": codes[0]})
    tokens = [provider.exchange("google", FORM | {"code": code})["access_token"] for code in codes[1:]]
    assert [provider.claims(token) for token in tokens] == [{"sub": "1"}, {"sub": "2"}]
    code = provider.grant("google", ASKED, {"sub": "3"})
    tokens.append(provider.exchange("google", FORM | {"code": code})["access_token"])
    assert [provider.claims(token) for token in tokens] == [None, {"sub": "2"}, {"sub": "3"}]


async def test_tokens_and_what_is_said_instead_of_them_are_kept_by_no_cache(tmp_path: Path) -> None:
    app = build(Mailbox(tmp_path / "mail"), "http://127.0.0.1:2", (HERE,))
    code = app.state.identity.grant("google", ASKED, {"sub": "1"})
    transport = httpx.ASGITransport(app=app)  # type: ignore[arg-type]  # httpx types an ASGI scope as any mapping
    async with httpx.AsyncClient(transport=transport, base_url="http://outside.test") as client:
        found = [await client.post("/google/token", data=FORM | {"code": code}) for _ in range(2)]
    assert [(one.status_code, one.headers["cache-control"]) for one in found] == [(200, "no-store"), (400, "no-store")]
