"""Asks for the token before anything else is looked at: a stranger hears 401, and not what is wrong with a field."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

from litestar import Request
from litestar.types import Scope

from shared.errors import UnsupportedMedia
from shared.identity import User, Verifier

# Set by the edge in the scope of a request whose body is no JSON; the answer waits for the token's.
UNSUPPORTED = "eco2_unsupported"
# Names of parameters for which a token is needed, or looked at.
ASKING = frozenset({"user", "maybe_user", "idempotency"})

# Who sent the request that this context answers. From the context and not from the scope: Litestar converts whatever it
# passes on, and nothing is cheaper.
_identity: ContextVar[User | None] = ContextVar("identity")
asked_by = _identity.get

Hook = Callable[[Request[Any, Any, Any]], Awaitable[None]]


def before_request(names: set[str], verifier: Verifier) -> Hook | None:
    """What a handler with these parameters does first."""
    # Functions and no methods: Litestar copies its routers deeply, so a method would ask a copy of the verifier, which
    # never hears of a revoked session.
    if names & ASKING:
        return _authenticator(verifier, required="maybe_user" not in names, body="data" in names)
    return _check_media if "data" in names else None


def _authenticator(verifier: Verifier, *, required: bool, body: bool) -> Hook:
    async def authenticate(request: Request[Any, Any, Any]) -> None:
        scope: Any = request.scope
        authorization = _authorization(scope)
        if authorization is None and not required:
            _identity.set(None)
        else:
            user = verifier.authenticate(authorization)
            _identity.set(user)
            scope["eco2_user"] = user.alias
        if body and UNSUPPORTED in scope:
            raise UnsupportedMedia

    return authenticate


async def _check_media(request: Request[Any, Any, Any]) -> None:
    if UNSUPPORTED in request.scope:
        raise UnsupportedMedia


def _authorization(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"authorization":
            return value.decode("latin-1")
    return None
