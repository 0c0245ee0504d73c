"""One-time passes for event streams where a browser can't send a header (EventSource): a query parameter instead of a token.

A ticket is good once, for a minute, for one address and one person. The broker's Redis keeps its hash and whom it is for.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import msgspec
from msgspec import Meta, Struct

from shared.identity import InvalidToken, Session, User, alias_of

if TYPE_CHECKING:
    from redis.asyncio import Redis

SECONDS = 60


class Ticket(Struct):
    """What opens an event stream once, at this address, for this person.

    Attributes:
        ticket: the value of `?ticket=`.
        expires_in: seconds that it is good for.
    """

    ticket: Annotated[
        str, Meta(pattern="^[A-Za-z0-9_-]{43}$", examples=["cIDOBCVZw2A1vzmBwx-fhABdHxeGPIDwHNhghXO-qPs"])
    ]
    expires_in: Annotated[int, Meta(ge=1, le=SECONDS, examples=[SECONDS])]


class _Kept(Struct):
    path: str
    user_id: UUID
    session_id: UUID
    expires_at: float


async def issue(broker: Redis, path: str, session: Session) -> Ticket:
    """A ticket for the stream at this path.

    Raises:
        Unavailable: the broker is away.
    """
    from shared.redis import within

    ticket = secrets.token_urlsafe(32)
    kept = _Kept(path, session.user.id, session.user.session_id, session.expires_at)
    async with within("broker"):
        await broker.set(_key(ticket), msgspec.json.encode(kept), ex=SECONDS)
    return Ticket(ticket, SECONDS)


async def redeem(broker: Redis, path: str, ticket: str) -> Session:
    """Whom the ticket is for; it is gone then, whatever becomes of the request.

    Raises:
        InvalidToken: there is no such ticket, it was used or has expired, or it is for another address.
        Unavailable: the broker is away.
    """
    from shared.redis import within

    async with within("broker"):
        found = await broker.getdel(_key(ticket))
    kept = msgspec.json.decode(found, type=_Kept) if found else None
    if kept is None or kept.path != path:
        raise InvalidToken("The ticket is not valid: it is good once, for a minute, and for one address.")
    return Session(User(kept.user_id, kept.session_id, alias_of(kept.user_id)), kept.expires_at)


def _key(ticket: str) -> str:
    return f"ticket:{hashlib.sha256(ticket.encode()).hexdigest()}"
