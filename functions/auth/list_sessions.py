"""The person's sessions, newest first: where they are logged in."""

from datetime import datetime
from uuid import UUID

from litestar import get
from msgspec import Struct

from functions.auth import db as sql
from shared import clock
from shared.errors import BadInput, Unauthorized
from shared.fields import Time
from shared.http import CurrentUser, Db, PageQuery, problems
from shared.pages import Page


class Session(Struct, frozen=True):
    """A place where the person is logged in.

    Attributes:
        id: the session's, which DELETE takes.
        created_at: of the log-in.
        expires_at: when it ends if it is not refreshed until then.
        current: whether it is the one of this request.
    """

    id: UUID
    created_at: Time
    expires_at: Time
    current: bool

    @classmethod
    def of(cls, row: sql.SessionRow, current: UUID) -> "Session":
        return cls(row.id, row.created_at, row.expires_at, row.id == current)


@get("/sessions", responses=problems(BadInput, Unauthorized), summary="List sessions")
async def list_sessions(user: CurrentUser, db: Db, page: PageQuery) -> Page[Session]:
    async with db.connection() as conn:
        if await sql.select_person(conn, user.id, user.session_id) is None:
            raise Unauthorized("The session has ended.")
        after = page.after(tuple[datetime, UUID])
        rows = await sql.select_sessions(conn, user.id, clock.now(), after, page.limit + 1)
    return page.of([Session.of(row, user.session_id) for row in rows], key=lambda s: (s.created_at, s.id))
