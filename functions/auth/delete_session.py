"""Ends one of the person's sessions, on a lost telephone for example."""

from uuid import UUID

from litestar import delete
from litestar.params import FromPath

from functions.auth import db as sql
from functions.auth import revocations
from functions.auth.list_sessions import Session
from shared.errors import BadInput, NotFound, PreconditionFailed, Unauthorized
from shared.http import Broker, Conditional, CurrentUser, Db, problems


@delete(
    "/sessions/{session_id:uuid}",
    status_code=204,
    responses=problems(BadInput, Unauthorized, NotFound, PreconditionFailed),
    summary="End a session",
)
async def delete_session(
    session_id: FromPath[UUID], user: CurrentUser, db: Db, broker: Broker, conditions: Conditional
) -> None:
    async with db.transaction() as conn:
        # A token outlives its session where Redis is away: a thief's must not end the sessions of who has thrown them out.
        if await sql.select_person(conn, user.id, user.session_id) is None:
            raise Unauthorized("The session has ended.")
        session = await sql.select_session_for_update(conn, user.id, session_id)
        if session is None:
            raise NotFound
        conditions.require(Session.of(session, user.session_id))
        await sql.delete_session(conn, session_id)
    await revocations.announce(db, broker, [session_id])
