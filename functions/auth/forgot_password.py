"""A mail with a link that sets a new password, if somebody has this address; the answer does not tell."""

from typing import Annotated, Any

from litestar import Request, post
from litestar.params import JSONBody
from msgspec import Meta, Struct

from functions.auth import attempts
from functions.auth import db as sql
from functions.auth.messages import SendMail
from functions.auth.register import EMAIL
from shared import rates
from shared.errors import BadInput, TooMany
from shared.http import Broker, Db, Settings, problems
from shared.ids import new_id
from shared.tasks import enqueue

# Letters to one address: three at once, then one in ten minutes; asked for from one address: 20, then one in three.
LETTERS, ASKED = (3, 600.0), (20, 180.0)


class ForgotRequest(Struct):
    """Who forgot it.

    Attributes:
        email: the address that the account has.
    """

    email: Annotated[str, Meta(max_length=255, pattern=EMAIL, examples=["kim@example.com"])]


@post(
    "/password/forgot",
    status_code=202,
    responses=problems(BadInput, TooMany),
    summary="Ask for a new password",
)
async def forgot_password(
    data: JSONBody[ForgotRequest], request: Request[Any, Any, Any], db: Db, broker: Broker, settings: Settings
) -> None:
    address = attempts.address_of(request, settings)
    await rates.take(
        broker, rates.bucket("forgot", data.email, *LETTERS), rates.bucket("forgot-address", address, *ASKED)
    )
    async with db.transaction() as conn:
        # A task for an unknown address too: the same work, so that the time tells nothing either.
        user_id = await sql.select_id_by_email(conn, data.email) or new_id()
        await enqueue(conn, SendMail(user_id, "reset"), subject=user_id)
