"""What a handler may ask for that is made of the request: Idempotency-Key, conditions, a page. Each shows in OpenAPI."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Request
from litestar.params import HeaderParameter, QueryParameter

from shared.http import ETAGS, Conditions, CurrentUser
from shared.idempotency import Idempotency
from shared.pages import CURSOR, Paging


async def idempotency(
    request: Request[Any, Any, Any],
    user: CurrentUser,
    idempotency_key: Annotated[
        str | None,
        HeaderParameter(
            name="Idempotency-Key",
            description="Makes a repeat harmless: the same key and body get the first answer again, for 24 hours.",
            schema_extra={"minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
        ),
    ] = None,
) -> Idempotency:
    body = await request.body() if idempotency_key is not None else b""
    return Idempotency(idempotency_key, user_id=user.id, method=request.method, path=request.url.path, body=body)


def conditions(
    if_none_match: Annotated[
        str | None,
        HeaderParameter(name="If-None-Match", pattern=ETAGS, description="ETags of what the client has; `*` is any."),
    ] = None,
    if_match: Annotated[
        str | None,
        HeaderParameter(name="If-Match", pattern=ETAGS, description="The ETag of what is to be changed; `*` is any."),
    ] = None,
) -> Conditions:
    return Conditions(if_none_match, if_match)


def page(
    limit: Annotated[int, QueryParameter(ge=1, le=100, description="Rows on this page.")] = 20,
    cursor: Annotated[
        str | None,
        QueryParameter(
            description="next_cursor of the page before.",
            schema_extra={"pattern": CURSOR, "maxLength": 1000},
        ),
    ] = None,
) -> Paging:
    return Paging(limit, cursor)
