"""Asks a person for their password once more, before what a stolen token must not be able to do."""

from datetime import timedelta
from typing import Annotated

from msgspec import Meta

from functions.auth import db as sql
from functions.auth import passwords
from shared import clock
from shared.errors import Forbidden, Unauthorized
from shared.http import Conditional, CurrentUser, Db

# A password as somebody types it to be checked: a wrong length is a wrong password, not a malformed request.
GivenPassword = Annotated[
    str, Meta(min_length=1, max_length=255, pattern=r"^[^\x00]*$", examples=["correct horse battery"])
]


class WrongPassword(Forbidden):
    """The password is wrong."""

    type = "urn:eco2:auth:wrong-password"


async def known(db: Db, user: CurrentUser, conditions: Conditional) -> tuple[sql.Person, sql.Credentials]:
    """The person behind a token and their credentials.

    Raises:
        Unauthorized: the session has ended.
        PreconditionFailed: `If-Match` names another state of the person.
    """
    async with db.connection() as conn:
        credentials = await sql.select_credentials(conn, user.id, user.session_id)
        person = await sql.select_person(conn, user.id, user.session_id)
    if credentials is None or person is None:
        raise Unauthorized("The session has ended.")
    conditions.require(person)
    return person, credentials


class SignInAgain(Forbidden):
    """This account has no password: sign in with your provider again, and repeat this within ten minutes."""

    type = "urn:eco2:auth:sign-in-again"


# So fresh is a sign-in that proves who somebody is as a password would.
FRESH = timedelta(minutes=10)


async def check(given: str, credentials: sql.Credentials) -> None:
    """Compare the password. To be called inside `attempts.attempt`, which counts what fails.

    Raises:
        WrongPassword: it is another one.
        SignInAgain: the account has none, and the session is not fresh.
    """
    if not credentials.has_password:
        if credentials.signed_in_at is None or clock.now() - credentials.signed_in_at > FRESH:
            raise SignInAgain
        return
    if not await passwords.matches(given, credentials.password_hash):
        raise WrongPassword
