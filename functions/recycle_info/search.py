"""Items whose names fit what was typed: everyday words, parts of words, small typos and whole questions, Korean or English."""

from typing import Annotated

from litestar import get
from litestar.openapi.spec import Example
from litestar.params import QueryParameter
from msgspec import Meta, Struct

from functions.recycle_info import db as sql
from functions.recycle_info import words
from shared import clock
from shared.errors import BadInput, Unauthorized
from shared.http import Db, MaybeUser, problems
from shared.ids import new_id

# How many of the items found are kept with a person's query.
KEPT = 5


class Found(Struct):
    """The items, best first, and the query they answer."""

    items: list[sql.FoundItem]
    query: Annotated[str, Meta(examples=["샴푸통"])]


@get("/search", responses=problems(BadInput, Unauthorized), summary="Search items")
async def search(
    db: Db,
    maybe_user: MaybeUser,
    q: Annotated[
        str,
        QueryParameter(
            min_length=1,
            max_length=500,
            pattern=r"^[^\x00]*$",
            description="A thing or a question about it, in Korean or English.",
            examples=[Example(value="페트병"), Example(value="how do I recycle a pizza box")],
        ),
    ],
    limit: Annotated[int, QueryParameter(ge=1, le=100, description="Items at most.")] = 20,
) -> Found:
    async with db.connection() as conn:
        found = await sql.select_found(conn, words.read(q), limit)
        if maybe_user is not None:
            # A GET that writes, which API.md asks for: "with a token the query is kept". It is one short insert, and only
            # the person who asked ever sees it.
            kept = [sql.AskedItem(item.id, item.name) for item in found[:KEPT]]
            await sql.insert_query(conn, new_id(), maybe_user.id, q, kept, clock.now())
    return Found(found, q)
