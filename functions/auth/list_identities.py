"""The providers that the person can sign in with."""

from litestar import get

from functions.auth import db as sql
from shared.errors import Unauthorized
from shared.http import CurrentUser, Db, problems


@get("/identities", responses=problems(Unauthorized), summary="List my providers")
async def list_identities(user: CurrentUser, db: Db) -> list[sql.Identity]:
    async with db.connection() as conn:
        if await sql.select_person(conn, user.id, user.session_id) is None:
            raise Unauthorized("The session has ended.")
        return await sql.select_identities(conn, user.id)
