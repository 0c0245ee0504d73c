"""A new person, from a username, an email address and a password."""

from typing import Annotated, Any

from litestar import Request, post
from litestar.params import JSONBody
from msgspec import Meta, Struct
from psycopg.errors import UniqueViolation

from functions.auth import attempts, passwords
from functions.auth import db as sql
from functions.auth.messages import SendMail
from shared import clock, rates
from shared.errors import BadInput, Conflict, TooMany
from shared.http import Broker, Db, Settings, problems
from shared.ids import new_id
from shared.tasks import enqueue
from shared.text import pattern

# RFC 5321 §4.1.2: a dot-string or a quoted string, then a domain of two labels or more (§2.3.5) or an address literal.
# `(?!\n)`: in Python `$` also matches before a last newline.
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
EMAIL = pattern(
    rf'^({_ATOM}(\.{_ATOM})*|"([ !#-[\]-~]|\\[ -~])*")'
    rf"@({_LABEL}(\.{_LABEL})+|\[([0-9]{{1,3}}(\.[0-9]{{1,3}}){{3}}|IPv6:[0-9A-Fa-f:.]{{2,45}})\])$(?!\n)",
    "is no email address such as kim@example.com",
)


USERNAME = pattern(r"^[A-Za-z0-9._-]+$(?!\n)", "takes the letters A to Z, digits, `.`, `_` and `-`")


class RegisterRequest(Struct):
    """A new account.

    Attributes:
        username: one person's, whatever its case.
        email: where mails go; one person's too.
        password: 8 to 64 characters, and at most 72 bytes in UTF-8; none of the commonest, nor the name or the address.
    """

    username: Annotated[str, Meta(min_length=3, max_length=100, pattern=USERNAME, examples=["kim.eco"])]
    email: Annotated[str, Meta(max_length=255, pattern=EMAIL, examples=["kim@example.com"])]
    password: passwords.Password


class UsernameTaken(Conflict):
    """This username belongs to somebody: choose another."""

    type = "urn:eco2:auth:username-taken"


class EmailTaken(Conflict):
    """This email address has an account already: log in instead."""

    type = "urn:eco2:auth:email-taken"


class TooManyRegistrations(TooMany):
    """Too many people register from this address: try again later."""

    type = "urn:eco2:auth:too-many-registrations"


@post(
    "/register",
    status_code=201,
    responses=problems(BadInput, UsernameTaken, EmailTaken, TooManyRegistrations, passwords.Busy),
    summary="Register",
)
async def register(
    data: JSONBody[RegisterRequest], request: Request[Any, Any, Any], db: Db, broker: Broker, settings: Settings
) -> sql.Person:
    if len(data.email.rpartition("@")[0]) > 64:
        raise BadInput("email", "has more than 64 characters before the @")
    passwords.prepare(data.password, "password")
    await passwords.refuse_common(data.password, "password", data.username, data.email)
    address = attempts.address_of(request, settings)
    await rates.take(broker, attempts.registrations_from(address, settings), problem=TooManyRegistrations)
    async with passwords.slot(address):
        password_hash = await passwords.hashed(data.password, "password")
    person = sql.Person(new_id(), data.username, data.email, clock.now())
    try:
        async with db.transaction() as conn:
            await sql.insert_person(conn, person, password_hash)
            if settings.smtp_url:
                await enqueue(conn, SendMail(person.id, "verify"), subject=person.id)
    except UniqueViolation as error:
        raise (EmailTaken if "email" in (error.diag.constraint_name or "") else UsernameTaken) from None
    return person
