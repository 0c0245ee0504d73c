"""Collection centers by words of their name and address, with room for a typing error."""

import unicodedata
from typing import Annotated

from litestar import get
from litestar.params import QueryParameter
from msgspec import Struct

from functions.location import db as sql
from shared.db import Connection, Database
from shared.errors import BadInput
from shared.http import Db, problems

# More words than that narrow nothing further.
_MOST_WORDS = 6
# Known words that a misspelt one may have meant.
_GUESSES = 3


class FoundByWords(Struct):
    """The centers found, in one page.

    Attributes:
        items: the best first.
        next_cursor: null: there is no other page.
    """

    items: list[sql.Center]
    next_cursor: None = None


@get("/centers/search", responses=problems(BadInput), summary="Search collection centers by name or address")
async def search_centers(
    db: Db,
    q: Annotated[
        str, QueryParameter(min_length=1, max_length=100, description="Words or parts of words, such as 고양 행정복지.")
    ],
    limit: Annotated[int, QueryParameter(ge=1, le=100, description="Centers at most.")] = 20,
) -> FoundByWords:
    query = " ".join(unicodedata.normalize("NFKC", q).lower().split())
    if not query or "\0" in query:
        raise BadInput("q", "give at least one letter, and no U+0000")
    return FoundByWords(await find(db, query, limit))


async def find(db: Database, query: str, limit: int) -> list[sql.Center]:
    """Centers that hold every word of the query, in lower case; else those that hold words like them."""
    # A word of signs alone has no trigram: the whole table would be read for it.
    spelt = [word for word in query.split() if any(map(str.isalnum, word))][:_MOST_WORDS]
    words = sorted({unicodedata.normalize("NFD", word) for word in spelt}, key=len, reverse=True)
    if not words:
        return []
    async with db.connection() as conn:
        found = await sql.select_by_words(conn, query, [_pattern(word) for word in words], limit)
    if found:
        return found
    async with db.transaction() as conn:
        return await _forgiving(conn, words, limit)


async def _forgiving(conn: Connection, words: list[str], limit: int) -> list[sql.Center]:
    """Search again with each word that is found nowhere replaced by the known ones most like it, the likeliest first."""
    choices = []
    for word in words:
        known = await sql.select_known_word(conn, word, _pattern(word))
        choices.append([word] if known else await sql.select_similar_words(conn, word, _GUESSES))
    if all(choice == [word] for choice, word in zip(choices, words, strict=True)) or not all(choices):
        return []
    for guess in range(_GUESSES):
        guessed = sorted((choice[min(guess, len(choice) - 1)] for choice in choices), key=len, reverse=True)
        query = unicodedata.normalize("NFC", " ".join(guessed))
        if found := await sql.select_by_words(conn, query, [_pattern(word) for word in guessed], limit):
            return found
    return []


def _pattern(word: str) -> str:
    letters = len(word)
    for special in ("\\", "%", "_"):
        word = word.replace(special, f"\\{special}")
    # Fewer than three letters make no trigram, unless a word begins with them.
    return f"%{word}%" if letters >= 3 else f"% {word}%"
