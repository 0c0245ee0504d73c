"""The providers that people sign in with: what is set up, the way to one, and what comes back from it.

Authorization code with PKCE (RFC 7636), state, and a nonce where the provider speaks OpenID Connect. Authlib talks to the
provider; PyJWT checks the ID token, as it does our own.
"""

import functools
import re
import sys
import tomllib
from pathlib import Path
from typing import Annotated, Any

import msgspec
from litestar import Response
from litestar.params import PathParameter
from msgspec import Struct

from shared import clock
from shared.errors import NotFound, Problem
from shared.parts import Made
from shared.settings import Settings, SettingsError

# Seconds for each request to a provider.
PATIENCE = 8.0
# Signing keys of a provider are asked for again after so many seconds, and when an ID token names one that is not among them.
KEYS_KEPT = 600.0
# Seconds by which a provider's clock may differ from ours.
LEEWAY = 60


# The name stands in the address that a provider leads back to, and is registered there to the letter.
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*", re.ASCII)
_ADDRESS = re.compile(r"https?://[!-~]+", re.ASCII)

InPath = Annotated[str, PathParameter(description="A provider's name, as /oauth/providers lists it.")]


class Provider(Struct, frozen=True, forbid_unknown_fields=True):
    """One provider. With `jwks_url` it signs ID tokens; without, `userinfo_url` says who somebody is (naver)."""

    name: str
    authorize_url: str
    token_url: str
    client_id: str
    client_secret: str
    issuer: str = ""
    jwks_url: str = ""
    userinfo_url: str = ""
    scope: str = ""

    def __post_init__(self) -> None:
        empty = [field for field in ("name", "client_id", "client_secret") if not getattr(self, field)]
        if empty:
            raise ValueError(f"`{empty[0]}` is empty")
        for field in ("authorize_url", "token_url", "jwks_url", "userinfo_url"):
            value = getattr(self, field)
            if (value or field in ("authorize_url", "token_url")) and not _ADDRESS.fullmatch(value):
                raise ValueError(f"`{field}` should be an address that begins with https:// or http://")
        if not self.jwks_url and not self.userinfo_url:
            raise ValueError("`jwks_url` or `userinfo_url` is missing: without one nobody can be told from another")
        if self.jwks_url and not self.issuer:
            raise ValueError("`issuer` is missing: no ID token can be checked without")


class Claims(Struct, frozen=True):
    """Who somebody is at a provider: its own id of them, and the address, if it told one."""

    subject: str
    email: str | None
    email_verified: bool


class ProviderFailed(Problem):
    """The provider did not say who this is: try again, or sign in another way."""

    status = 502
    type = "urn:eco2:auth:provider-failed"


class UnknownProvider(NotFound):
    """Nobody signs in with this provider here: /oauth/providers lists those that are set up."""

    type = "urn:eco2:auth:unknown-provider"


class Providers:
    """The providers that are set up. Made when the service starts, which a wrong file ends: else it would end sign-ins."""

    def __init__(self, settings: Settings) -> None:
        """Raises SettingsError: the file can't be read, or what it says is wrong; the message names the place."""
        self._file = settings.oauth_providers_file
        self.known()

    def known(self) -> dict[str, Provider]:
        """By the name in their address."""
        # In a pod the variable is always there, and the file only with its Secret.
        return _read(self._file) if self._file and Path(self._file).exists() else {}

    def find(self, name: str) -> Provider:
        """Raises UnknownProvider."""
        provider = self.known().get(name)
        if provider is None:
            raise UnknownProvider
        return provider


# What functions name.
SetUp = Annotated[Providers, Made(Providers)]


@functools.lru_cache(maxsize=4)
def _read(file: str) -> dict[str, Provider]:
    presets = tomllib.loads(Path(__file__).with_name("providers.toml").read_text(encoding="utf-8"))
    try:
        given = tomllib.loads(Path(file).read_text(encoding="utf-8"))
        return {name: _provider(name, presets.get(name, {}), values) for name, values in given.items()}
    except (OSError, ValueError) as error:
        # The message names a field or a place in the file, never a value.
        raise SettingsError(f"OAUTH_PROVIDERS_FILE is wrong: {error}") from None


def _provider(name: str, known: dict[str, Any], given: Any) -> Provider:
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"[{name}]: a name has small letters from a to z, digits, - and _, because it stands in addresses"
        )
    if not isinstance(given, dict):
        raise ValueError(f"[{name}]: it should be a table of what the provider gave")
    try:
        return msgspec.convert(known | given, Provider)
    except ValueError as error:
        raise ValueError(f"[{name}]: {error}") from None


def callback_url(name: str, settings: Settings) -> str:
    """Where the provider sends the person back to; registered there to the letter."""
    return f"{settings.public_url.rstrip('/')}/api/v1/auth/oauth/{name}/callback"


def authorize_url(name: str, provider: Provider, settings: Settings, *, state: str, nonce: str, verifier: str) -> str:
    """The provider's page that asks the person."""
    more = {"nonce": nonce} if provider.jwks_url else {}
    with _client(name, provider, settings) as client:
        url, _ = client.create_authorization_url(provider.authorize_url, state=state, code_verifier=verifier, **more)
    return str(url)


def _client(name: str, provider: Provider, settings: Settings) -> Any:
    # Imported by who signs in: no other process of auth should pay for it at its start.
    from authlib.integrations.httpx_client import OAuth2Client

    return OAuth2Client(
        provider.client_id,
        provider.client_secret,
        scope=provider.scope or None,
        redirect_uri=callback_url(name, settings),
        code_challenge_method="S256",
        token_endpoint_auth_method="client_secret_post",  # noqa: S106 - a method's name
        timeout=PATIENCE,
        trust_env=False,
    )


def claims(name: str, provider: Provider, settings: Settings, *, code: str, nonce: str, verifier: str) -> Claims:
    """Exchange the code, and check who the provider says it is. Blocks: for a thread.

    Raises:
        ProviderFailed: it is away, refuses the code, or says what can't be believed; the reason is the exception's cause.
    """
    import jwt
    from authlib.common.errors import AuthlibBaseError

    try:
        with _client(name, provider, settings) as client:
            token = client.fetch_token(provider.token_url, code=code, code_verifier=verifier)
            if provider.jwks_url:
                return _of_id_token(provider, str(token.get("id_token", "")), nonce)
            return _of_userinfo(client.get(provider.userinfo_url).raise_for_status().json())
    except (AuthlibBaseError, _http_error(), jwt.PyJWTError, msgspec.ValidationError, ValueError) as error:
        raise ProviderFailed from error


def _http_error() -> type[Exception]:
    """What the HTTP client inside of Authlib raises: httpx, or httpx2 where another library has brought that along."""
    from authlib.integrations.httpx_client import OAuth2Client

    inside = next(name for kind in OAuth2Client.__mro__ if (name := kind.__module__).startswith("httpx"))
    found: type[Exception] = sys.modules[inside.partition(".")[0]].HTTPError
    return found


class _IdToken(Struct):
    sub: str
    nonce: str = ""
    email: str | None = None
    email_verified: bool | str = False  # some send "true"


class _Naver(Struct):
    class Inside(Struct):
        id: str
        email: str | None = None

    response: Inside


def _of_id_token(provider: Provider, id_token: str, nonce: str) -> Claims:
    import jwt

    key = _keys(provider.jwks_url).get_signing_key_from_jwt(id_token)
    body = jwt.decode(
        id_token,
        key,
        algorithms=["RS256", "ES256"],
        audience=provider.client_id,
        issuer=provider.issuer,
        # By this system's clock, which may have been moved.
        options={"require": ["sub", "exp", "iat"], "verify_exp": False, "verify_iat": False},
    )
    if float(body["exp"]) + LEEWAY < clock.time():
        raise jwt.ExpiredSignatureError("the ID token has expired")
    said = msgspec.convert(body, _IdToken)
    if said.nonce != nonce:
        raise jwt.InvalidTokenError("the ID token was made for another sign-in")
    return Claims(said.sub, said.email or None, str(said.email_verified).lower() == "true")


def _of_userinfo(body: Any) -> Claims:
    said = msgspec.convert(body, _Naver).response
    # Naver says nothing of whether it has checked an address, and lets people name any.
    return Claims(said.id, said.email or None, email_verified=False)


@functools.lru_cache(maxsize=64)
def _keys(url: str) -> Any:
    from jwt.jwks_client import PyJWKClient

    return PyJWKClient(url, lifespan=KEYS_KEPT, timeout=PATIENCE)


def redirect(url: str) -> Response[None]:
    """303: the browser goes there with GET, whatever brought it here; no cache keeps where."""
    return Response(None, status_code=303, headers={"Location": url, "Cache-Control": "no-store"})
