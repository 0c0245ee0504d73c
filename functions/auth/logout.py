"""Ends the session of the access token, or of a refresh token."""

from litestar import post
from litestar.params import JSONBody
from msgspec import Struct

from functions.auth import db as sql
from functions.auth import revocations, tokens
from functions.auth.refresh import RefreshToken
from shared.errors import BadInput, Unauthorized
from shared.http import Broker, Db, MaybeUser, problems


class LogoutRequest(Struct):
    """Which session ends, where no access token says it."""

    refresh_token: RefreshToken | None = None


@post("/logout", status_code=204, responses=problems(BadInput, Unauthorized), summary="Log out")
async def logout(maybe_user: MaybeUser, db: Db, broker: Broker, data: JSONBody[LogoutRequest | None] = None) -> None:
    token = data.refresh_token if data else None
    if maybe_user is None and token is None:
        raise Unauthorized("Send an access token, or a refresh_token in the body.")
    ended = [maybe_user.session_id] if maybe_user else []
    async with db.transaction() as conn:
        if token is not None:
            # An unknown token is not an error (RFC 7009 §2.2): what the client wants is the case.
            session = await sql.select_session_by_token_for_update(conn, tokens.hash_of(token))
            ended += [session.id] if session else []
        for session_id in ended:
            await sql.delete_session(conn, session_id)
    await revocations.announce(db, broker, ended)
