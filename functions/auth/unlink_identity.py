"""Takes a provider away from the person's account, unless it is their last way in."""

from litestar import delete

from functions.auth import db as sql
from functions.auth import providers
from shared.errors import Conflict, NotFound, Unauthorized
from shared.http import CurrentUser, Db, problems


class LastWayIn(Conflict):
    """You sign in with this provider alone: set a password, or add another provider, before you remove it."""

    type = "urn:eco2:auth:last-way-in"


@delete(
    "/identities/{provider:str}",
    status_code=204,
    responses=problems(Unauthorized, NotFound, LastWayIn),
    summary="Remove a provider",
)
async def unlink_identity(provider: providers.InPath, user: CurrentUser, db: Db) -> None:
    async with db.transaction() as conn:
        if await sql.select_person(conn, user.id, user.session_id) is None:
            raise Unauthorized("The session has ended.")
        removed = await sql.delete_identity(conn, user.id, provider)
    if removed is None:
        raise NotFound
    if not removed:
        raise LastWayIn
