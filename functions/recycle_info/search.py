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
# The score from which a name is like enough to ask back.
GUESSED = 0.3


class Found(Struct):
    """What a search found. No item is an answer too.

    Attributes:
        items: the best first.
        query: as it was typed.
        did_you_mean: without an item, the name most like the query; null where none is like it at all.
    """

    items: list[sql.FoundItem]
    query: Annotated[str, Meta(examples=["샴푸통"])]
    did_you_mean: Annotated[str | None, Meta(examples=[None])] = None


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
    floor: Annotated[
        float,
        QueryParameter(
            ge=0,
            le=1,
            description="The least score of an item; a lower one lets resemblances in too.",
        ),
    ] = sql.FLOOR,
) -> Found:
    async with db.connection() as conn:
        like = await sql.select_found(conn, words.read(q), limit)
        found = [item for item in like if item.score >= floor]
        if maybe_user is not None:
            # A GET that writes, which API.md asks for: "with a token the query is kept". It is one short insert, and only
            # the person who asked ever sees it.
            kept = [sql.AskedItem(item.id, item.name) for item in found[:KEPT]]
            await sql.insert_query(conn, new_id(), maybe_user.id, q, kept, clock.now())
    return Found(found, q, _did_you_mean(q, like) if not found else None)


def _did_you_mean(query: str, like: list[sql.FoundItem]) -> str | None:
    """The name of the item most like the query, in the query's language."""
    if not like or like[0].score < GUESSED:
        return None
    return like[0].name_en if query.isascii() else like[0].name
