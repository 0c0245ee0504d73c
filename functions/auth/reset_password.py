"""A new password for who has the link from the mail; every session ends."""

from typing import Annotated, Any

from litestar import Request, post
from litestar.params import JSONBody
from msgspec import Meta, Struct

from functions.auth import attempts, passwords, revocations, tokens
from functions.auth import db as sql
from shared import clock, rates
from shared.errors import BadInput
from shared.http import Broker, Db, Settings, problems

MailedToken = Annotated[
    str,
    Meta(min_length=1, max_length=200, pattern=r"^[^\x00]*$", description="From the mail.", examples=[tokens.EXAMPLE]),
]


class ResetRequest(Struct):
    """A new password, by the link from the mail."""

    token: MailedToken
    new_password: passwords.Password


class LinkUsedOrExpired(BadInput):
    """This link was used before, or its 30 minutes are over: ask for a new one."""

    type = "urn:eco2:auth:link-used-or-expired"

    def __init__(self) -> None:
        super().__init__("token", "was used before, or its 30 minutes are over: ask for a new one")


@post(
    "/password/reset",
    status_code=204,
    responses=problems(BadInput, LinkUsedOrExpired, passwords.Busy),
    summary="Set a new password",
)
async def reset_password(
    data: JSONBody[ResetRequest], request: Request[Any, Any, Any], db: Db, broker: Broker, settings: Settings
) -> None:
    passwords.prepare(data.new_password, "new_password")
    token_hash = tokens.hash_of(data.token)
    async with db.connection() as conn:
        # Before the work of hashing: whoever guesses tokens costs us a look.
        found = await sql.select_mail_token(conn, token_hash, "reset", clock.now())
        person = await sql.select_person_by_id(conn, found.user_id) if found else None
    if found is None or person is None:
        raise LinkUsedOrExpired
    await passwords.refuse_common(data.new_password, "new_password", person.username, person.email)
    async with passwords.slot(attempts.address_of(request, settings)):
        new_hash = await passwords.hashed(data.new_password, "new_password")
    async with db.transaction() as conn:
        if await sql.delete_mail_token(conn, token_hash, "reset", clock.now()) is None:
            raise LinkUsedOrExpired
        await sql.update_password_by_mail(conn, person.id, new_hash)
        # The link came by that address: it is theirs.
        await sql.update_email_verified(conn, person.id, found.email, clock.now())
        ended = await sql.delete_sessions(conn, person.id)
    await revocations.announce(db, broker, ended)
    await rates.forget(broker, [attempts.login(person.username), attempts.login(person.email)])
