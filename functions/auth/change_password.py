"""Changes the person's password and ends their other sessions, which may be somebody else's."""

from typing import Annotated, Any

from litestar import Request, put
from litestar.params import JSONBody
from msgspec import Meta, Struct

from functions.auth import attempts, passwords, revocations
from functions.auth import db as sql
from shared.errors import BadInput, Forbidden, PreconditionFailed, Unauthorized
from shared.http import Broker, Conditional, CurrentUser, Db, Settings, problems

# A password as somebody types it to be checked: a wrong length is a wrong password, not a malformed request.
GivenPassword = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[^\x00]*$")]


class PasswordRequest(Struct):
    current_password: GivenPassword
    new_password: passwords.Password


class WrongPassword(Forbidden):
    """The password is wrong."""

    type = "urn:eco2:auth:wrong-password"


@put(
    "/password",
    status_code=204,
    responses=problems(
        BadInput, Unauthorized, WrongPassword, PreconditionFailed, attempts.TooManyAttempts, passwords.Busy
    ),
    summary="Change the password",
)
async def change_password(
    data: JSONBody[PasswordRequest],
    request: Request[Any, Any, Any],
    user: CurrentUser,
    db: Db,
    broker: Broker,
    settings: Settings,
    conditions: Conditional,
) -> None:
    passwords.prepare(data.new_password, "new_password")
    async with db.connection() as conn:
        found = await sql.select_credentials(conn, user.id, user.session_id)
        person = await sql.select_person(conn, user.id, user.session_id)
    if found is None or person is None:
        raise Unauthorized("The session has ended.")
    conditions.require(person)
    async with attempts.attempt(broker, account=user.id, address=attempts.address_of(request, settings)):
        if not await passwords.matches(data.current_password, found.password_hash):
            raise WrongPassword
        new_hash = await passwords.hashed(data.new_password, "new_password")
    async with db.transaction() as conn:
        if not await sql.update_password(conn, user.id, found.password_hash, new_hash):
            raise WrongPassword
        ended = await sql.delete_sessions(conn, user.id, but=user.session_id)
    await revocations.announce(db, broker, ended)
