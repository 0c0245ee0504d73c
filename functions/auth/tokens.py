"""The tokens of a session: a signed access token for 15 minutes, and a refresh token that works once.

A refresh token is 256 bits that only the client holds; the database has its SHA-256. Its successor is
HMAC-SHA256(key = the token itself, message = a random nonce kept with the replaced token). Who repeats the token just
replaced, because the answer was lost or two tabs refreshed at once, thus gets the same successor again and not a second
one: a session has one line of tokens at any time, and a token off that line is a replay. Neither the database alone nor
an old token alone leads to the present token.
"""

import base64
import hashlib
import hmac
import logging
import secrets
from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

from litestar.datastructures import ResponseHeader
from msgspec import Meta, Struct

from functions.auth import db as sql
from functions.auth import keys
from shared import clock, identity
from shared.db import Connection
from shared.errors import Unavailable
from shared.fields import Count
from shared.ids import new_id
from shared.settings import Settings

log = logging.getLogger(__name__)

# A session ends when it was not refreshed for so long.
SESSION = timedelta(days=30)
# How long the token just replaced may be repeated, for a lost answer.
GRACE = timedelta(seconds=30)


EXAMPLE = "mYq3QjKxY0nI1kXoJrW9Dg6vT5bS2hLzE8uFcRaPwN4"
# RFC 6749 §5.1: no cache may keep an answer that holds tokens.
NOT_KEPT = [ResponseHeader(name="Cache-Control", value="no-store", description="Never kept by a cache.")]


class Tokens(Struct, frozen=True):
    """A session's tokens.

    Attributes:
        access_token: for `Authorization: Bearer`.
        expires_in: seconds that the access token is good for.
        refresh_token: good once, for the next tokens.
        token_type: `Bearer`.
    """

    access_token: Annotated[
        str, Meta(examples=["eyJhbGciOiJFZERTQSIsInR5cCI6ImF0K2p3dCJ9.eyJzdWIiOiIwMTlhIn0.c2lnbmF0dXJl"])
    ]
    expires_in: Annotated[Count, Meta(examples=[900])]
    refresh_token: Annotated[str, Meta(examples=[EXAMPLE])]
    token_type: Annotated[str, Meta(examples=["Bearer"])] = "Bearer"  # noqa: S105 - RFC 6750's word


async def begin_session(conn: Connection, user_id: UUID, settings: Settings) -> Tokens:
    """Begin a session in the transaction of `conn`."""
    now = clock.now()
    token = _text(secrets.token_bytes(32))
    session = sql.SessionRow(new_id(), user_id, hash_of(token), now + SESSION, now)
    await sql.insert_session(conn, session)
    await sql.insert_refresh_token(conn, new_id(), session.id, user_id, session.token, session.expires_at)
    return issue(user_id, session.id, token, settings)


async def replace(conn: Connection, session: sql.SessionRow, token: str, now: datetime) -> str:
    """Replace the session's present refresh token by its successor, which is returned."""
    nonce = secrets.token_bytes(32)
    successor = successor_of(token, nonce)
    await sql.update_replaced_token(conn, session.id, session.token, now, nonce)
    await sql.insert_refresh_token(conn, new_id(), session.id, session.user_id, hash_of(successor), now + SESSION)
    await sql.update_session(conn, session.id, hash_of(successor), now + SESSION)
    return successor


def issue(user_id: UUID, session_id: UUID, refresh_token: str, settings: Settings) -> Tokens:
    """Sign an access token for the session.

    Raises:
        Unavailable: when there is no key to sign with.
    """
    now = int(clock.time())
    claims = {
        "iss": identity.ISSUER,
        "aud": identity.AUDIENCE,
        "sub": str(user_id),
        "sid": str(session_id),
        "iat": now,
        "exp": now + identity.ACCESS_SECONDS,
        "jti": _text(secrets.token_bytes(12)),
    }
    return Tokens(signer(settings).sign(claims), identity.ACCESS_SECONDS, refresh_token)


def signer(settings: Settings) -> keys.Signer:
    """The process's signer.

    Raises:
        Unavailable: when the key file is missing or unusable.
    """
    try:
        return keys.signer(settings.auth_signing_key_file)
    except identity.KeySetError as error:
        log.error("nobody can log in: %s", error)
        raise Unavailable("signing key") from error


def hash_of(token: str) -> str:
    """What the database keeps of a refresh token. A plain SHA-256 will do: 256 random bits can't be guessed."""
    return hashlib.sha256(token.encode()).hexdigest()


def successor_of(token: str, nonce: bytes) -> str:
    """The refresh token that replaces `token`, by its nonce."""
    return _text(hmac.digest(token.encode(), nonce, "sha256"))


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
