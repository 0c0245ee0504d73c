"""Tokens for the code that a sign-in with a provider ended with."""

import hmac
from typing import Annotated

from litestar import post
from litestar.params import JSONBody
from msgspec import Meta, Struct

from functions.auth import db as sql
from functions.auth import tokens
from functions.auth.pkce import challenge
from shared import clock
from shared.errors import BadInput, Conflict, Unauthorized
from shared.http import Db, Settings, problems


class ExchangeRequest(Struct):
    """What a sign-in with a provider ended with.

    Attributes:
        code: of `return_to`'s query; good once, for 60 s.
        code_verifier: what `code_challenge` was made of.
    """

    code: Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[^\x00]*$", examples=[tokens.EXAMPLE])]
    code_verifier: Annotated[
        str, Meta(pattern=r"^[A-Za-z0-9._~-]{43,128}$", examples=["dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"])
    ]


class InvalidCode(Unauthorized):
    """This code was used before, is over a minute old, or was asked for by another app: sign in again."""

    type = "urn:eco2:auth:invalid-code"


class IdentityTaken(Conflict):
    """Somebody signs in with this account of the provider already, or you with another one of it."""

    type = "urn:eco2:auth:identity-taken"


@post(
    "/oauth/exchange",
    status_code=200,
    responses=problems(BadInput, InvalidCode, IdentityTaken),
    response_headers=tokens.NOT_KEPT,
    summary="Exchange a code",
)
async def exchange_code(data: JSONBody[ExchangeRequest], db: Db, settings: Settings) -> tokens.Tokens:
    now = clock.now()
    async with db.connection() as conn:
        # In a statement of its own: a code that was tried with a wrong verifier is used up too.
        code = await sql.delete_code(conn, tokens.hash_of(data.code), now)
    if code is None or not hmac.compare_digest(challenge(data.code_verifier), code.code_challenge):
        raise InvalidCode
    async with db.transaction() as conn:
        if not await sql.lock_person(conn, code.user_id):
            raise InvalidCode
        if code.provider is not None and not await sql.insert_identity(
            conn, code.user_id, code.provider, code.subject or "", code.email, now
        ):
            raise IdentityTaken
        return await tokens.begin_session(conn, code.user_id, settings)
