"""An identity provider for each name that auth knows: OpenID Connect with a consent page, refusing what real ones refuse.

Whoever opens the consent page says who they are and how it ends, so that every failure can be tried: consent denied, another
state, no address, an address not verified. A code is good once, for a minute, for the client, the redirect address and the
PKCE verifier that it was asked with (RFC 6749 §4.1.3, RFC 7636 §4.6).
"""

import base64
import hashlib
import hmac
import html
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from litestar import MediaType, Request, Response, Router, get, post
from litestar.params import FromPath
from msgspec import Struct

from emulator.outside.providers import CLIENT_ID, CLIENT_SECRET, PROVIDERS
from shared import clock

CODE_SECONDS = 60.0
# Codes and tokens that are remembered, the newest.
MOST = 1000
PAGE = Path(__file__).with_name("consent.html")


class Grant(Struct):
    """What a code means."""

    provider: str
    redirect_uri: str
    nonce: str
    challenge: str
    claims: dict[str, Any]
    expires: float


class Refused(Exception):
    """An OAuth error (RFC 6749 §5.2): its code, and what is wrong."""

    def __init__(self, error: str, description: str) -> None:
        self.error, self.description = error, description
        super().__init__(f"{error}: {description}")


class Identity:
    """The providers' memory: signing key, codes under way, access tokens. It lives as long as the process."""

    def __init__(self, base_url: str, redirects: tuple[str, ...]) -> None:
        self.base_url = base_url
        self._redirects = redirects
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._codes: dict[str, Grant] = {}
        self._tokens: dict[str, dict[str, Any]] = {}

    def issuer(self, provider: str) -> str:
        return f"{self.base_url}/{provider}"

    def check_request(self, provider: str, query: dict[str, str]) -> None:
        """An authorization request as a provider checks it before it shows a page. Raises Refused."""
        if provider not in PROVIDERS:
            raise Refused("invalid_request", f"there is no provider {provider}")
        if query.get("client_id") != CLIENT_ID:
            raise Refused("unauthorized_client", "client_id is unknown")
        if query.get("redirect_uri", "") not in self._allowed(provider):
            raise Refused("invalid_request", "redirect_uri is not registered for this client")
        if query.get("response_type") != "code":
            raise Refused("unsupported_response_type", "response_type should be code")
        if query.get("code_challenge") and query.get("code_challenge_method") != "S256":
            raise Refused("invalid_request", "code_challenge_method should be S256")

    def _allowed(self, provider: str) -> list[str]:
        return [redirect.format(provider=provider) for redirect in self._redirects]

    def grant(self, provider: str, query: dict[str, str], claims: dict[str, Any]) -> str:
        """A code for a person who has consented."""
        now = clock.time()
        self._codes = {code: grant for code, grant in self._codes.items() if grant.expires > now}
        code = secrets.token_urlsafe(24)
        challenge, nonce = query.get("code_challenge", ""), query.get("nonce", "")
        _make_room(self._codes)
        self._codes[code] = Grant(provider, query["redirect_uri"], nonce, challenge, claims, now + CODE_SECONDS)
        return code

    def exchange(self, provider: str, form: dict[str, str]) -> dict[str, Any]:
        """The tokens for a code. Raises Refused."""
        known = hmac.compare_digest(form.get("client_secret", ""), CLIENT_SECRET)
        if form.get("client_id") != CLIENT_ID or not known:
            raise Refused("invalid_client", "client_id or client_secret is wrong")
        if form.get("grant_type") != "authorization_code":
            raise Refused("unsupported_grant_type", "grant_type should be authorization_code")
        grant = self._codes.pop(form.get("code", ""), None)
        if grant is None or grant.expires <= clock.time() or grant.provider != provider:
            raise Refused("invalid_grant", "the code is unknown, used or expired")
        if form.get("redirect_uri") != grant.redirect_uri:
            raise Refused("invalid_grant", "redirect_uri is another than the code was asked with")
        if grant.challenge and _challenge(form.get("code_verifier", "")) != grant.challenge:
            raise Refused("invalid_grant", "code_verifier does not fit the code_challenge")
        now = int(clock.time())
        about = {"iss": self.issuer(provider), "aud": CLIENT_ID, "iat": now, "exp": now + 600, "nonce": grant.nonce}
        token = secrets.token_urlsafe(24)
        _make_room(self._tokens)
        self._tokens[token] = grant.claims
        return {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": 600,
            "id_token": jwt.encode(about | grant.claims, self._key, algorithm="RS256", headers={"kid": "local"}),
        }

    def claims(self, token: str) -> dict[str, Any] | None:
        """What the userinfo address says to the holder of an access token."""
        return self._tokens.get(token)

    def keys(self) -> dict[str, Any]:
        """The public half, as a JWK set."""
        public = jwt.algorithms.RSAAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        return {"keys": [public | {"kid": "local", "use": "sig", "alg": "RS256"}]}


def _make_room(kept: dict[str, Any]) -> None:
    while len(kept) >= MOST:
        del kept[next(iter(kept))]


def _challenge(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def _page(provider: str, query: dict[str, str]) -> Response[str]:
    hidden = "".join(
        f'<input type="hidden" name="{html.escape(name)}" value="{html.escape(value)}">'
        for name, value in query.items()
    )
    text = PAGE.read_text(encoding="utf-8")
    for name, value in (("name", PROVIDERS[provider]), ("provider", provider), ("hidden", hidden)):
        text = text.replace("{{" + name + "}}", value)
    return Response(text, media_type=MediaType.HTML)


def _problem(refused: Refused, status: int = 400) -> Response[dict[str, str]]:
    body = {"error": refused.error, "error_description": refused.description}
    return Response(body, status_code=status, headers={"Cache-Control": "no-store"})


def back(query: dict[str, str], **answer: str) -> Response[None]:
    """To the client's redirect address, with the answer in the query."""
    uri = query["redirect_uri"]
    separator = "&" if urlsplit(uri).query else "?"
    return Response(None, status_code=302, headers={"Location": f"{uri}{separator}{urlencode(answer)}"})


@get("/{provider:str}/.well-known/openid-configuration")
async def discovery(provider: FromPath[str], request: Request[Any, Any, Any]) -> dict[str, Any]:
    """OpenID Connect Discovery 1.0 §3."""
    identity: Identity = request.app.state.identity
    base = identity.issuer(provider)
    return {
        "issuer": base,
        "authorization_endpoint": f"{base}/authorize",
        "token_endpoint": f"{base}/token",
        "userinfo_endpoint": f"{base}/userinfo",
        "jwks_uri": f"{base}/jwks.json",
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "code_challenge_methods_supported": ["S256"],
    }


@get("/{provider:str}/authorize", media_type=MediaType.HTML)
async def authorize(provider: FromPath[str], request: Request[Any, Any, Any]) -> Response[Any]:
    """The consent page."""
    query = {name: str(value) for name, value in request.query_params.items()}
    try:
        request.app.state.identity.check_request(provider, query)
    except Refused as refused:
        return _problem(refused)
    return _page(provider, query)


@post("/{provider:str}/authorize", status_code=302)
async def consent(provider: FromPath[str], request: Request[Any, Any, Any]) -> Response[Any]:
    """What the person chose on the consent page; `outcome` is `allow` or the name of a failure."""
    form = {name: str(value) for name, value in (await request.form()).items()}
    identity: Identity = request.app.state.identity
    try:
        identity.check_request(provider, form)
    except Refused as refused:
        return _problem(refused)
    outcome, state = form.get("outcome", "allow"), form.get("state", "")
    if outcome == "denied":
        return back(form, error="access_denied", state=state)
    if outcome == "wrong-state":
        state = secrets.token_urlsafe(16)
    email = form.get("email", "").strip()
    claims: dict[str, Any] = {"sub": form.get("subject", "").strip() or email or "somebody"}
    if outcome != "no-email" and email:
        claims |= {"email": email, "email_verified": outcome != "unverified"}
    return back(form, code=identity.grant(provider, form, claims), state=state)


@post("/{provider:str}/token", status_code=200)
async def token(provider: FromPath[str], request: Request[Any, Any, Any]) -> Response[Any]:
    """Code against tokens; the client's secret in the form or as HTTP Basic (RFC 6749 §2.3.1)."""
    form = {name: str(value) for name, value in (await request.form()).items()}
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        name, _, secret = base64.b64decode(given).decode().partition(":")
        form |= {"client_id": name, "client_secret": secret}
    try:
        answer = request.app.state.identity.exchange(provider, form)
    except Refused as refused:
        return _problem(refused, 401 if refused.error == "invalid_client" else 400)
    return Response(answer, headers={"Cache-Control": "no-store"})


@get("/{provider:str}/userinfo")
async def userinfo(provider: FromPath[str], request: Request[Any, Any, Any]) -> Response[Any]:
    """The person's claims, in naver's own envelope where it is naver."""
    claims = request.app.state.identity.claims(request.headers.get("authorization", "").removeprefix("Bearer "))
    if claims is None:
        return _problem(Refused("invalid_token", "the access token is unknown"), 401)
    if provider == "naver":
        inside = {"id": claims["sub"]} | ({"email": claims["email"]} if "email" in claims else {})
        return Response({"resultcode": "00", "message": "success", "response": inside})
    return Response(claims)


@get("/{provider:str}/jwks.json")
async def jwks(provider: FromPath[str], request: Request[Any, Any, Any]) -> dict[str, Any]:
    found: dict[str, Any] = request.app.state.identity.keys()
    return found


router = Router(
    "/",
    route_handlers=[discovery, authorize, consent, token, userinfo, jwks],
    # Litestar remembers how a thousand forms read.
    request_max_body_size=16 * 1024,
)
