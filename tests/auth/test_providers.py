"""What a provider says of who somebody is: believed only where it signed it, for us, for this sign-in, and just now"""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from functions.auth import providers
from functions.auth.providers import LEEWAY, Provider
from shared import clock
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
