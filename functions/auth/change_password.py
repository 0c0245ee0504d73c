"""Changes the person's password and ends their other sessions, which may be somebody else's."""

from typing import Any

from litestar import Request, put
from litestar.params import JSONBody
from msgspec import Struct

from functions.auth import attempts, passwords, revocations
from functions.auth import db as sql
from functions.auth.confirm import GivenPassword, SignInAgain, WrongPassword, check, known
from shared.errors import BadInput, PreconditionFailed, Unauthorized
from shared.http import Broker, Conditional, CurrentUser, Db, Settings, problems


class PasswordRequest(Struct):
    """The old password and the new one.

    Attributes:
        current_password: as it is now.
    """

    current_password: GivenPassword
    new_password: passwords.Password


@put(
    "/password",
    status_code=204,
    responses=problems(
        BadInput, Unauthorized, WrongPassword, SignInAgain, PreconditionFailed, attempts.TooManyAttempts, passwords.Busy
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
    person, credentials = await known(db, user, conditions)
    await passwords.refuse_common(data.new_password, "new_password", person.username, person.email)
    async with attempts.attempt(broker, attempts.confirmation(user.id), address=attempts.address_of(request, settings)):
        await check(data.current_password, credentials)
        new_hash = await passwords.hashed(data.new_password, "new_password")
    async with db.transaction() as conn:
        if not await sql.update_password(conn, user.id, credentials.password_hash, new_hash):
            raise WrongPassword
        ended = await sql.delete_sessions(conn, user.id, but=user.session_id)
    await revocations.announce(db, broker, ended)
