"""Leads the browser to a provider, which asks the person and sends them back to `/oauth/{provider}/callback`."""

import secrets
from datetime import timedelta
from typing import Annotated, Any
from uuid import UUID

from litestar import Request, Response, get
from litestar.openapi.spec import Example
from litestar.params import QueryParameter
from msgspec import Meta

from functions.auth import attempts, one_time, providers, returning
from functions.auth import db as sql
from shared import clock, rates
from shared.db import Connection
from shared.errors import BadInput, LineTooLong, TooMany
from shared.http import LED_TO, Broker, Db, Settings, problems

# How long a person may take at the provider.
LIFE = timedelta(minutes=10)
# Sign-ins begun from one address: 60 at once (a school), then one in two seconds. Each is a row.
BEGUN = (60, 2.0)

PRINTABLE, S256 = r"^[!-~]*$", r"^[A-Za-z0-9_-]{43}$"
_RETURN_TO = "Where the browser is led back to, with `?code=` or `?error=`; one of OAUTH_RETURN_TO."
_CHALLENGE = "PKCE: BASE64URL(SHA-256(code_verifier)), of a verifier that the app keeps to itself."
_EXAMPLES = ("http://localhost:5173/signed-in", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM")
# The same two in a body and in a query: Litestar knows a query's limits by marks of its own.
ReturnTo = Annotated[
    str,
    Meta(min_length=1, max_length=400, pattern=PRINTABLE, description=_RETURN_TO, examples=[_EXAMPLES[0]]),
]
Challenge = Annotated[str, Meta(pattern=S256, description=_CHALLENGE, examples=[_EXAMPLES[1]])]


@get(
    "/oauth/{provider:str}/start",
    status_code=303,
    responses=problems(BadInput, providers.UnknownProvider, TooMany, LineTooLong),
    response_headers=LED_TO,
    summary="Sign in with a provider",
)
async def start_oauth(
    provider: providers.InPath,
    return_to: Annotated[
        str,
        QueryParameter(
            min_length=1,
            max_length=400,
            pattern=PRINTABLE,
            description=_RETURN_TO,
            examples=[Example(value=_EXAMPLES[0])],
        ),
    ],
    code_challenge: Annotated[
        str, QueryParameter(pattern=S256, description=_CHALLENGE, examples=[Example(value=_EXAMPLES[1])])
    ],
    request: Request[Any, Any, Any],
    db: Db,
    broker: Broker,
    settings: Settings,
    set_up: providers.SetUp,
) -> Response[None]:
    known = set_up.find(provider)
    returning.check(return_to, settings)
    await rates.take(broker, rates.bucket("oauth-start", attempts.address_of(request, settings), *BEGUN))
    async with db.connection() as conn:
        url = await begin(conn, provider, known, settings, return_to=return_to, code_challenge=code_challenge)
    return providers.redirect(url)


async def begin(
    conn: Connection,
    name: str,
    provider: providers.Provider,
    settings: Settings,
    *,
    return_to: str,
    code_challenge: str,
    user_id: UUID | None = None,
) -> str:
    """Keep a sign-in that is under way; return the provider's page that asks the person."""
    state, kept = one_time.new()
    nonce, verifier = secrets.token_urlsafe(24), secrets.token_urlsafe(48)
    expires_at = clock.now() + LIFE
    await sql.insert_flow(conn, sql.Flow(kept, name, nonce, verifier, return_to, code_challenge, user_id, expires_at))
    return providers.authorize_url(name, provider, settings, state=state, nonce=nonce, verifier=verifier)
