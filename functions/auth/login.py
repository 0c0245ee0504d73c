"""The tokens of a person who logs in with a username or an email address."""

from typing import Annotated, Any

from litestar import Request, post
from litestar.params import JSONBody
from msgspec import Meta, Struct

from functions.auth import attempts, passwords, tokens
from functions.auth import db as sql
from shared.errors import BadInput, Unauthorized
from shared.http import Broker, Db, Settings, problems


class LoginRequest(Struct):
    """Who logs in.

    Attributes:
        username: a username or an email address, in any case.
        password: the account's.
    """

    username: Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[^\x00]*$", examples=["kim.eco"])]
    password: Annotated[
        str, Meta(min_length=1, max_length=255, pattern=r"^[^\x00]*$", examples=["correct horse battery"])
    ]


class InvalidCredentials(Unauthorized):
    """The username or password is wrong."""

    type = "urn:eco2:auth:invalid-credentials"


@post(
    "/login",
    status_code=200,
    responses=problems(BadInput, InvalidCredentials, attempts.TooManyAttempts, passwords.Busy),
    response_headers=tokens.NOT_KEPT,
    summary="Log in",
)
async def login(
    data: JSONBody[LoginRequest], request: Request[Any, Any, Any], db: Db, broker: Broker, settings: Settings
) -> tokens.Tokens:
    async with db.connection() as conn:
        found = await sql.select_credentials_by_login(conn, data.username)
    address = attempts.address_of(request, settings)
    async with attempts.attempt(broker, attempts.login(data.username), attempts.logins_from(address), address=address):
        if not await passwords.matches(data.password, found.password_hash if found else None) or found is None:
            raise InvalidCredentials
    async with db.transaction() as conn:
        # While the hash was computed the password may have been changed, or the person erased.
        if not await sql.select_unchanged(conn, found):
            raise InvalidCredentials
        return await tokens.begin_session(conn, found.id, settings)
