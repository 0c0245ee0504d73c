"""Collection centers by words of their name and address, with room for a typing error."""

import unicodedata
from typing import Annotated

from litestar import get
from litestar.params import QueryParameter
from msgspec import Struct

from functions.location import db as sql
from shared.errors import BadInput
from shared.http import Db, problems

# More words than that narrow nothing further.
_MOST_WORDS = 6


class FoundByWords(Struct):
    """The best first. The list has one page."""

    items: list[sql.Center]
    next_cursor: None = None


@get("/centers/search", responses=problems(BadInput), summary="Search collection centers by name or address")
async def search_centers(
    db: Db,
    q: Annotated[
        str, QueryParameter(min_length=1, max_length=100, description="Words or parts of words, such as 고양 행정복지.")
    ],
    limit: Annotated[int, QueryParameter(ge=1, le=100)] = 20,
) -> FoundByWords:
    query = " ".join(unicodedata.normalize("NFKC", q).lower().split())
    if not query or "\0" in query:
        raise BadInput("q", "give at least one letter, and no U+0000")
    words = sorted({unicodedata.normalize("NFD", word) for word in query.split()[:_MOST_WORDS]}, key=len, reverse=True)
    async with db.connection() as conn:
        found = await sql.select_by_words(conn, query, [_pattern(word) for word in words], limit)
    if not found:
        async with db.transaction() as conn:
            found = await sql.select_by_likeness(conn, words, min(_likeness(word) for word in words[:2]), limit)
    return FoundByWords(found)


def _pattern(word: str) -> str:
    for special in ("\\", "%", "_"):
        word = word.replace(special, f"\\{special}")
    return f"%{word}%"


def _likeness(word: str) -> float:
    """How alike a word must be that may have one wrong letter in it, or two from four syllables on.

    A word of n letters has n + 1 trigrams, and a wrong letter spoils three of them.
    """
    wrong = 1 if len(word) < 12 else 2
    return max(0.45, (len(word) + 1 - 3 * wrong) / (len(word) + 1) - 0.01)
