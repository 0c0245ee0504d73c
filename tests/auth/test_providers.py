"""What a provider says of who somebody is: believed only where it signed it, for us, for this sign-in, and just now"""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from functions.auth import providers
from functions.auth.providers import KEYS_KEPT, LEEWAY, PATIENCE, Provider, ProviderFailed, Providers
from shared import clock
from shared.settings import Settings
from tests import support

KEY = ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    """One that publishes the key."""
    public = json.dumps({"keys": [json.loads(ECAlgorithm.to_jwk(KEY.public_key())) | {"kid": "one", "use": "sig"}]})

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(public)}\r\n"
        writer.write(f"{head}Connection: close\r\n\r\n{public}".encode())

    async with support.answering(serve) as address:
        yield Provider("하나", address, address, "our-client", "secret", issuer=address, jwks_url=f"{address}/keys")


async def said(provider: Provider, key: Any = KEY, **changed: Any) -> providers.Claims:
    """What is believed of an ID token with these claims; those that are None are left out."""
    now = int(clock.time())
    claims = {"iss": provider.issuer, "aud": provider.client_id, "sub": "kim", "iat": now, "exp": now + 300}
    claims = claims | {"nonce": "n", "email": "kim@example.com", "email_verified": True} | changed
    given = {name: value for name, value in claims.items() if value is not None}
    token = jwt.encode(given, key, algorithm="ES256", headers={"kid": "one"})
    return await asyncio.to_thread(providers._of_id_token, provider, token, "n")


@pytest.mark.parametrize(
    ("given", "believed"),
    [(True, True), ("true", True), ("True", True), (False, False), ("false", False), ("", False), (None, False)],
)
async def test_an_address_is_verified_only_where_the_provider_says_so(
    provider: Provider, given: Any, believed: bool
) -> None:
    assert await said(provider, email_verified=given) == providers.Claims("kim", "kim@example.com", believed)


async def test_a_provider_that_names_no_address_or_an_empty_one_names_none(provider: Provider) -> None:
    assert [(await said(provider, email=given)).email for given in (None, "")] == [None, None]


@pytest.mark.parametrize(
    "changed",
    [
        {"aud": "another-client"},
        {"iss": "https://evil.example"},
        {"nonce": "another"},
        {"nonce": None},
        {"sub": None},
        {"exp": None},
        {"iat": None},
        {"key": ec.generate_private_key(ec.SECP256R1())},
    ],
    ids=["aud", "iss", "nonce", "no nonce", "no sub", "no exp", "no iat", "key"],
)
async def test_what_was_said_to_somebody_else_or_by_somebody_else_is_not_believed(
    provider: Provider, changed: dict[str, Any]
) -> None:
    with pytest.raises(jwt.PyJWTError):
        await said(provider, **changed)


async def test_a_token_is_over_when_the_clocks_can_not_differ_by_so_much(provider: Provider) -> None:
    now = clock.time()
    assert (await said(provider, exp=now - LEEWAY + 30)).subject == "kim"
    with pytest.raises(jwt.ExpiredSignatureError):
        await said(provider, exp=now - LEEWAY - 1)


SETTINGS = Settings(public_url="https://api.example/")
NAVER = '{"response": {"id": "kim", "email": "kim@example.com"}}'
TOKEN = '{"access_token": "a", "token_type": "bearer"}'


async def claims_of(answers: dict[str, tuple[int, str]], heard: list[str], *, signs: bool = False) -> providers.Claims:
    """What is believed of a provider that answers so at `/token` and `/me`; it hears the heads and bodies of requests."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = re.search(r"content-length: (\d+)", head, re.IGNORECASE)
        heard.append(head + (await reader.readexactly(int(length[1]))).decode() if length else head)
        status, body = answers[head.split()[1]]
        if status:
            said = f"HTTP/1.1 {status} x\r\nContent-Type: application/json\r\nContent-Length: {len(body.encode())}\r\n"
            writer.write(f"{said}Connection: close\r\n\r\n{body}".encode())

    async with support.answering(serve) as address:
        asked = Provider("하나", address, f"{address}/token", "our client", "our secret", userinfo_url=f"{address}/me")
        if signs:
            asked = Provider("하나", address, f"{address}/token", "c", "s", issuer="i", jwks_url=f"{address}/keys")
        given = {"code": "the code", "nonce": "n", "verifier": "v" * 43}
        return await asyncio.to_thread(lambda: providers.claims("hana", asked, SETTINGS, **given))


async def test_a_provider_hears_who_asks_with_which_code_and_verifier_and_not_through_the_machine_s_proxy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    heard: list[str] = []
    found = await claims_of({"/token": (200, TOKEN), "/me": (200, NAVER)}, heard)
    assert found == providers.Claims("kim", "kim@example.com", email_verified=False)
    head, _, body = heard[0].partition("\r\n\r\n")
    assert "authorization:" not in head.lower()
    assert dict(parse_qsl(body)) == {
        "grant_type": "authorization_code",
        "code": "the code",
        "code_verifier": "v" * 43,
        "redirect_uri": "https://api.example/api/v1/auth/oauth/hana/callback",
        "client_id": "our client",
        "client_secret": "our secret",
    }
    assert re.search(r"^authorization: bearer a\r$", heard[1], re.IGNORECASE | re.MULTILINE)


@pytest.mark.parametrize(
    ("signs", "answers"),
    [
        (False, {"/token": (500, "{}")}),
        (False, {"/token": (400, '{"error": "invalid_grant"}')}),
        (False, {"/token": (200, "<html>")}),
        (False, {"/token": (0, "")}),
        (False, {"/token": (200, TOKEN), "/me": (401, NAVER)}),
        (False, {"/token": (200, TOKEN), "/me": (0, "")}),
        (False, {"/token": (200, TOKEN), "/me": (200, "<html>")}),
        (False, {"/token": (200, TOKEN), "/me": (200, '{"response": {"email": "kim@example.com"}}')}),
        (True, {"/token": (200, TOKEN)}),
        (True, {"/token": (200, TOKEN.replace("}", ', "id_token": "a.b.c"}'))}),
    ],
    ids=[
        "500",
        "refused",
        "no JSON",
        "hung up",
        "said no",
        "hung up later",
        "no JSON later",
        "no id",
        "no token",
        "no JWT",
    ],
)
async def test_whatever_a_provider_answers_amiss_is_its_failure(
    signs: bool, answers: dict[str, tuple[int, str]]
) -> None:
    with pytest.raises(ProviderFailed) as failed:
        await claims_of(answers, [], signs=signs)
    assert failed.value.__cause__


def test_a_provider_is_waited_for_so_long_and_its_keys_are_kept_so_long() -> None:
    provider = Provider("하나", "http://a", "http://t", "c", "s", "http://i", jwks_url="http://k")
    with providers._client("hana", provider, SETTINGS) as client:
        assert {client.timeout.connect, client.timeout.read, client.timeout.pool} == {PATIENCE}
    keys = providers._keys(provider.jwks_url)
    assert (keys.timeout, keys.jwk_set_cache.lifespan) == (PATIENCE, KEYS_KEPT)


def test_only_who_speaks_openid_connect_is_sent_a_nonce_and_every_one_a_challenge() -> None:
    for keys, nonce in (({"userinfo_url": "http://u"}, None), ({"issuer": "http://i", "jwks_url": "http://k"}, "n")):
        provider = Provider("하나", "http://a", "http://t", "c", "s", **keys)
        url = providers.authorize_url("hana", provider, SETTINGS, state="st", nonce="n", verifier="v" * 43)
        query = dict(parse_qsl(url.partition("?")[2]))
        assert query.pop("code_challenge")
        assert query == {
            "response_type": "code",
            "client_id": "c",
            "redirect_uri": "https://api.example/api/v1/auth/oauth/hana/callback",
            "state": "st",
            "code_challenge_method": "S256",
        } | ({"nonce": nonce} if nonce else {})


def test_what_an_installation_says_of_a_provider_goes_before_what_is_known_of_it(tmp_path: Path) -> None:
    file = tmp_path / "providers.toml"
    assert Providers(Settings(oauth_providers_file=str(file))).known() == {}, "in a pod without the Secret"
    file.write_text('[kakao]\nclient_id = "c"\nclient_secret = "s"\nissuer = "http://ours"\n', encoding="utf-8")
    kakao = Providers(Settings(oauth_providers_file=str(file))).known()["kakao"]
    assert (kakao.issuer, kakao.client_id, kakao.name) == ("http://ours", "c", "카카오")
