"""Erases the person from every service: here at once, elsewhere by messages that are sent until each has confirmed."""

from typing import Any

from litestar import Request, delete
from litestar.params import JSONBody
from msgspec import Struct

from functions.auth import attempts, passwords, revocations
from functions.auth import db as sql
from functions.auth.confirm import GivenPassword, SignInAgain, WrongPassword, check, known
from functions.auth.messages import ErasureConfirmed
from shared import rates, tasks
from shared.errors import BadInput, PreconditionFailed, Unauthorized
from shared.http import Broker, Conditional, CurrentUser, Db, Settings, problems
from shared.ids import new_id
from shared.messages import ErasePerson

# Whoever keeps anything under a user's id.
SERVICES = ("chat_llm", "location", "recycle_info", "userinfo", "waste")
# With Redis away a revoked token lives out its 15 minutes and may write meanwhile: then once more.
AGAIN_AFTER = 20 * 60.0


class EraseRequest(Struct):
    """That it is the person who wants it.

    Attributes:
        password: the account's.
    """

    password: GivenPassword


@delete(
    "/me",
    status_code=202,
    responses=problems(
        BadInput, Unauthorized, WrongPassword, SignInAgain, PreconditionFailed, attempts.TooManyAttempts, passwords.Busy
    ),
    summary="Erase my account",
)
async def delete_me(
    data: JSONBody[EraseRequest],
    request: Request[Any, Any, Any],
    user: CurrentUser,
    db: Db,
    broker: Broker,
    settings: Settings,
    conditions: Conditional,
) -> None:
    person, credentials = await known(db, user, conditions)
    async with attempts.attempt(broker, attempts.confirmation(user.id), address=attempts.address_of(request, settings)):
        await check(data.password, credentials)
    async with db.transaction() as conn:
        ended = await sql.delete_person(conn, user.id)
        await tasks.forget(conn, user.id)  # letters that are still to be written
        # The subject is the erasure: what comes back, and what is logged, need not name the person.
        erasure = new_id()
        for delay in (0.0, AGAIN_AFTER):
            for service in SERVICES:
                await tasks.enqueue(
                    conn,
                    ErasePerson(user_id=user.id),
                    to=service,
                    reply=ErasureConfirmed,
                    subject=erasure,
                    delay=delay,
                )
    await revocations.announce(db, broker, ended)
    names = [attempts.login(person.username), attempts.login(person.email), attempts.confirmation(user.id)]
    await rates.forget(broker, names)
