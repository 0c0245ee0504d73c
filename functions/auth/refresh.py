"""New tokens for a refresh token, which is replaced: each one works once."""

from datetime import datetime
from typing import Annotated

from litestar import post
from litestar.params import JSONBody
from msgspec import Meta, Struct

from functions.auth import db as sql
from functions.auth import revocations, tokens
from shared import clock
from shared.db import Connection
from shared.errors import BadInput, Unauthorized
from shared.http import Broker, Db, Settings, problems

RefreshToken = Annotated[
    str, Meta(min_length=1, max_length=500, description="The session's last refresh token.", examples=[tokens.EXAMPLE])
]


class RefreshRequest(Struct):
    """Which session goes on."""

    refresh_token: RefreshToken


class InvalidRefreshToken(Unauthorized):
    """The refresh token is not valid: log in again."""

    type = "urn:eco2:auth:invalid-refresh-token"


class Replayed(InvalidRefreshToken):
    """This refresh token was used before: its session has been ended, log in again."""

    type = "urn:eco2:auth:refresh-token-replayed"


@post(
    "/refresh",
    status_code=200,
    responses=problems(BadInput, InvalidRefreshToken, Replayed),
    response_headers=tokens.NOT_KEPT,
    summary="Refresh tokens",
)
async def refresh(data: JSONBody[RefreshRequest], db: Db, broker: Broker, settings: Settings) -> tokens.Tokens:
    now = clock.now()
    async with db.transaction() as conn:
        session = await sql.select_session_by_token_for_update(conn, tokens.hash_of(data.refresh_token))
        if session is None or session.expires_at <= now:
            raise InvalidRefreshToken
        successor = await _successor(conn, session, data.refresh_token, now)
        if successor is not None:
            return tokens.issue(session.user_id, session.id, successor, settings)
        # Somebody holds a copy, and no one can tell who is the thief: both must log in again.
        await sql.delete_session(conn, session.id)
    await revocations.announce(db, broker, [session.id])
    raise Replayed


async def _successor(conn: Connection, session: sql.SessionRow, token: str, now: datetime) -> str | None:
    """The token that follows, made now or, for a repeat within the grace, made before; None for a replay."""
    if session.token == tokens.hash_of(token):
        return await tokens.replace(conn, session, token, now)
    # Once the successor was used itself, and the first answer has plainly arrived, this token's nonce is gone.
    past = await sql.select_replaced_token(conn, tokens.hash_of(token))
    if past is None or past.replaced_at is None or past.nonce is None or now - past.replaced_at > tokens.GRACE:
        return None
    return tokens.successor_of(token, past.nonce)
