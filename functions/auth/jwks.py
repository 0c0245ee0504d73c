"""The public keys that verify access tokens, as a JWK set."""

from litestar import Response, get

from functions.auth import tokens
from functions.auth.keys import KeySet
from shared.errors import Unavailable
from shared.http import Conditional, Settings, problems


@get("/jwks.json", responses=problems(Unavailable), summary="Public keys")
async def jwks(settings: Settings, conditions: Conditional) -> Response[KeySet]:
    answer = conditions.answer(tokens.signer(settings).public())
    # A new key is public ten minutes before it signs (functions.auth.keys): five of them may be spent in caches.
    answer.headers["Cache-Control"] = "public, max-age=300"
    return answer
