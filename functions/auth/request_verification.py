"""A mail, again, with a link that verifies the person's address."""

from litestar import post

from functions.auth import db as sql
from functions.auth.messages import SendMail
from shared import rates
from shared.errors import TooMany, Unauthorized
from shared.http import Broker, CurrentUser, Db, problems
from shared.tasks import enqueue

LETTERS = (3, 600.0)  # three at once, then one in ten minutes


@post(
    "/email/verification",
    status_code=202,
    responses=problems(Unauthorized, TooMany),
    summary="Ask for the verification mail",
)
async def request_verification(user: CurrentUser, db: Db, broker: Broker) -> None:
    await rates.take(broker, rates.bucket("verification", user.id, *LETTERS))
    async with db.transaction() as conn:
        person = await sql.select_person(conn, user.id, user.session_id)
        if person is None:
            raise Unauthorized("The session has ended.")
        if not person.email_verified:
            await enqueue(conn, SendMail(user.id, "verify"), subject=user.id)
