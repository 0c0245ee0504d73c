"""Begins to add a provider to the person's account: the page of the provider that the app opens.

It ends as a sign-in does: the provider leads back to `return_to` with a code, and the exchange of that code links.
"""

from typing import Annotated

from litestar import post
from litestar.params import JSONBody
from msgspec import Meta, Struct

from functions.auth import db as sql
from functions.auth import providers, returning
from functions.auth.start_oauth import Challenge, ReturnTo, begin
from shared.errors import BadInput, Unauthorized
from shared.http import CurrentUser, Db, Settings, problems


class LinkRequest(Struct):
    """As the query of /oauth/{provider}/start, of whose parameters these are two."""

    return_to: ReturnTo
    code_challenge: Challenge


class Link(Struct, frozen=True):
    """Where it begins.

    Attributes:
        url: to be opened in the person's browser.
    """

    url: Annotated[str, Meta(examples=["https://kauth.kakao.com/oauth/authorize?response_type=code"])]


@post(
    "/identities/{provider:str}",
    status_code=200,
    responses=problems(BadInput, Unauthorized, providers.UnknownProvider),
    summary="Add a provider",
)
async def link_identity(
    provider: providers.InPath,
    data: JSONBody[LinkRequest],
    user: CurrentUser,
    db: Db,
    settings: Settings,
    set_up: providers.SetUp,
) -> Link:
    known = set_up.find(provider)
    returning.check(data.return_to, settings)
    async with db.transaction() as conn:
        await sql.lock_person(conn, user.id)
        if await sql.select_person(conn, user.id, user.session_id) is None:
            raise Unauthorized("The session has ended.")
        url = await begin(
            conn,
            provider,
            known,
            settings,
            return_to=data.return_to,
            code_challenge=data.code_challenge,
            user_id=user.id,
        )
    return Link(url)
