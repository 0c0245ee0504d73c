"""Asks for the token before anything else is looked at: a stranger hears 401, and not what is wrong with a field. Then a
request takes a place among those that are answered, or its turn in the line (runtime.http.admission).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from functools import partial
from typing import Any

from litestar import Request
from litestar.exceptions import InternalServerException
from litestar.types import Scope

from runtime.http import switch
from runtime.http.admission import Lane, Left
from shared import tickets
from shared.clients import address_of
from shared.errors import Unavailable, UnsupportedMedia
from shared.identity import User, Verifier

# What the edge says in the scope about a body that is not JSON, or is coded; the answer waits for the token's.
UNSUPPORTED = "eco2_unsupported"
# The place that a request is answered in, for the edge, which knows when the answer begins.
PLACE = "eco2_place"
# Names of parameters for which a token is needed, or looked at.
ASKING = frozenset({"user", "maybe_user", "idempotency"})

# Who sent the request that this context answers. From the context and not from the scope: Litestar converts whatever it
# passes on, and nothing is cheaper.
_identity: ContextVar[User | None] = ContextVar("identity")
asked_by = _identity.get

Hook = Callable[[Request[Any, Any, Any]], Awaitable[None]]


def before_request(
    folder: str,
    name: str,
    names: set[str],
    verifier: Verifier,
    broker: Callable[[], Any] | None = None,
    *,
    lane: Lane,
    hops: int = 0,
) -> Hook:
    """What the function `name` of a service does first, with these parameters.

    Args:
        broker: where tickets are taken too.
        lane: its places. A line before them is by person, or by the address of who came through `hops` proxies.
    """
    # Functions and no methods: Litestar copies its routers deeply, so a method would ask a copy of the verifier, which
    # never hears of a revoked session.
    asks, required, body = bool(names & ASKING), "maybe_user" not in names, "data" in names

    async def first(request: Request[Any, Any, Any]) -> None:
        user: User | None = None
        if switch.off and switch.is_off(folder, name):
            raise Unavailable("function", retry_after=60)
        scope: Any = request.scope
        if asks:
            authorization = _authorization(scope)
            if broker is not None and authorization is None and (ticket := request.query_params.get("ticket")):
                user = verifier.admit(await tickets.redeem(broker(), scope["path"], ticket))
                _identity.set(user)
                scope["eco2_user"] = user.alias
            elif authorization is None and not required:
                _identity.set(None)
            else:
                user = verifier.authenticate(authorization)
                _identity.set(user)
                scope["eco2_user"] = user.alias
        if body and UNSUPPORTED in scope:
            raise UnsupportedMedia(scope[UNSUPPORTED], headers={"Accept-Encoding": "identity"})
        if body:
            # All of it first: a place is not for those who are slow in sending.
            try:
                await request.body()
            except InternalServerException:
                # So Litestar (2.25) calls a client that has gone; nothing is wrong on our side.
                raise Left from None
        place = lane.take()
        if place is None:
            who = user.id if user else address_of(request.headers.getall("x-forwarded-for", []), request.client, hops)
            place = await lane.wait(who, partial(_gone, request))
        scope[PLACE] = place

    return first


async def _gone(request: Request[Any, Any, Any]) -> None:
    """Return when the client has left."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _authorization(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"authorization":
            return value.decode("latin-1")
    return None
