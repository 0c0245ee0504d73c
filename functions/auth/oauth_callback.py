"""Where a provider sends the person back to: on to the app, with a code that is good once, or with what went wrong.

The code alone is worth nothing: only the app that began holds the PKCE verifier that the exchange asks for. So a stranger's
link, opened in a person's browser, signs no one in and links nothing (login CSRF).
"""

import asyncio
import logging
import secrets
from datetime import timedelta
from typing import Annotated
from uuid import UUID

from litestar import Response, get
from litestar.params import QueryParameter
from psycopg.errors import UniqueViolation

from functions.auth import db as sql
from functions.auth import one_time, passwords, providers, returning, tokens
from shared import clock
from shared.errors import BadInput, LineTooLong
from shared.http import LED_TO, Db, Settings, problems
from shared.ids import new_id

log = logging.getLogger(__name__)

# How long the app may take to exchange the code.
LIFE = timedelta(seconds=60)


class UnknownState(BadInput):
    """This sign-in is not under way: it was finished, took too long, or was begun elsewhere. Begin anew."""

    type = "urn:eco2:auth:unknown-state"

    def __init__(self) -> None:
        super().__init__("state", "is of no sign-in that is under way: begin anew")


class _Refused(Exception):
    """What the app is told in `?error=`."""


@get(
    "/oauth/{provider:str}/callback",
    status_code=303,
    responses=problems(BadInput, UnknownState, providers.UnknownProvider, LineTooLong),
    response_headers=LED_TO,
    summary="Come back from a provider",
)
async def oauth_callback(
    provider: providers.InPath,
    db: Db,
    settings: Settings,
    set_up: providers.SetUp,
    # `state` means Litestar's own.
    given: Annotated[str, QueryParameter(name="state", max_length=2000, description="As it was sent.")] = "",
    code: Annotated[str, QueryParameter(max_length=2000, description="The provider's, for its tokens.")] = "",
    error: Annotated[str, QueryParameter(max_length=2000, description="Why there is no code.")] = "",
) -> Response[None]:
    known = set_up.find(provider)
    async with db.connection() as conn:
        flow = await sql.delete_flow(conn, tokens.hash_of(given), provider, clock.now())
    if flow is None:
        raise UnknownState
    try:
        if error or not code:
            raise _Refused("access_denied" if error == "access_denied" else "provider_failed")
        claims = await asyncio.to_thread(
            providers.claims, provider, known, settings, code=code, nonce=flow.nonce, verifier=flow.verifier
        )
        answer = await _code(db, flow, claims)
    except providers.ProviderFailed as failed:
        log.warning("%s did not say who signs in: %s", provider, failed.__cause__)
        return providers.redirect(returning.with_answer(flow.return_to, error="provider_failed"))
    except _Refused as refused:
        return providers.redirect(returning.with_answer(flow.return_to, error=str(refused)))
    return providers.redirect(returning.with_answer(flow.return_to, code=answer))


async def _code(db: Db, flow: sql.Flow, claims: providers.Claims) -> str:
    """A code for the person that the provider named; for a new one an account is made."""
    code, kept = one_time.new()
    expires_at = clock.now() + LIFE
    if flow.user_id is not None:
        linked = sql.Code(
            kept, flow.user_id, flow.code_challenge, flow.provider, claims.subject, claims.email, expires_at
        )
        await _keep(db, linked)
        return code
    async with db.transaction() as conn:
        user_id = await sql.select_user_of_identity(conn, flow.provider, claims.subject)
        if user_id is not None:
            # The address there may have changed; the account's own stays what its person made it.
            await sql.update_identity_email(conn, flow.provider, claims.subject, claims.email)
    if user_id is None:
        user_id = await _new_person(db, flow.provider, claims)
    await _keep(db, sql.Code(kept, user_id, flow.code_challenge, None, None, None, expires_at))
    return code


async def _keep(db: Db, code: sql.Code) -> None:
    async with db.transaction() as conn:
        # The provider may have taken its time, and the person may have erased the account.
        if not await sql.lock_person(conn, code.user_id):
            raise _Refused("provider_failed")
        await sql.insert_code(conn, code)


async def _new_person(db: Db, provider: str, claims: providers.Claims) -> UUID:
    if claims.email is None:
        raise _Refused("email_required")
    # A password that no one knows, as the seed's table has one for everybody.
    async with passwords.slot(provider):
        password_hash = await passwords.hashed(secrets.token_urlsafe(32), "password")
    person = sql.Person(
        new_id(),
        f"{provider}-{secrets.token_hex(5)}",
        claims.email,
        clock.now(),
        email_verified=claims.email_verified,
        has_password=False,
    )
    try:
        async with db.transaction() as conn:
            await sql.insert_person(conn, person, password_hash)
            linked = await sql.insert_identity(
                conn, person.id, provider, claims.subject, claims.email, person.created_at
            )
            if not linked:
                # Two sign-ins of a new person at once: the other one was first.
                raise _Refused("provider_failed")
    except UniqueViolation:
        # Somebody has this address here. Whether it is the same person only a sign-in to that account shows; then the
        # provider can be added to it.
        raise _Refused("account_exists") from None
    return person.id
