"""Verifies an address by the link from the mail; no session is needed, because the mail may be read on another device."""

from litestar import post
from litestar.params import JSONBody
from msgspec import Struct

from functions.auth import db as sql
from functions.auth import tokens
from functions.auth.reset_password import LinkUsedOrExpired, MailedToken
from shared import clock
from shared.errors import BadInput
from shared.http import Db, problems


class VerifyRequest(Struct):
    """The link from the mail."""

    token: MailedToken


@post("/email/verify", status_code=204, responses=problems(BadInput, LinkUsedOrExpired), summary="Verify the address")
async def verify_email(data: JSONBody[VerifyRequest], db: Db) -> None:
    async with db.transaction() as conn:
        found = await sql.delete_mail_token(conn, tokens.hash_of(data.token), "verify", clock.now())
        if found is None:
            raise LinkUsedOrExpired
        await sql.update_email_verified(conn, found.user_id, found.email, clock.now())
