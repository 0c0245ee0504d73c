"""The SQL of recycle-info: items, the words they are found by, and what a person has searched for."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta, Struct
from psycopg.rows import class_row, dict_row
from psycopg.types.json import Jsonb

from functions.recycle_info.words import Asked
from shared.db import Connection

# One step a line: what a caller splits at "\n".
Lines = Annotated[str, Meta(description="One step a line, separated by \\n.")]


class Category(Struct, frozen=True):
    """A kind of waste, how many items there are of it, and what holds for all of them, a rule a line."""

    category: Annotated[str, Meta(examples=["plastic"])]
    name_ko: Annotated[str, Meta(examples=["플라스틱류"])]
    name_en: Annotated[str, Meta(examples=["Plastic containers"])]
    count: Annotated[int, Meta(examples=[24])]
    how_to_recycle: Annotated[str, Meta(examples=["내용물을 비우고 헹굽니다."])]
    do_not_do: Annotated[str, Meta(examples=["이물질이 묻은 채 배출하지 마세요."])]
    how_to_recycle_en: Annotated[str, Meta(examples=["Empty and rinse it."])]
    do_not_do_en: Annotated[str, Meta(examples=["Do not put it in with food on it."])]


class Item(Struct, frozen=True, kw_only=True):
    """A thing people throw away, in Korean and, in the fields ending with `_en`, in English."""

    id: UUID
    name: Annotated[str, Meta(examples=["샴푸 통"])]
    category: Annotated[str, Meta(examples=["plastic"])]
    description: Annotated[str | None, Meta(examples=["샴푸를 담는 플라스틱 용기입니다."])]
    how_to_recycle: Annotated[Lines | None, Meta(examples=["내용물을 비우고 헹굽니다.\\n펌프를 빼고 배출합니다."])]
    do_not_do: Annotated[Lines | None, Meta(examples=["펌프를 끼운 채 배출하지 마세요."])]
    images: Annotated[list[Any], Meta(examples=[[]])]
    slug: Annotated[str | None, Meta(examples=["shampoo-bottle"])]
    name_en: Annotated[str | None, Meta(examples=["Shampoo bottle"])]
    synonyms: Annotated[list[str], Meta(examples=[["린스 통"]])]
    synonyms_en: Annotated[list[str], Meta(examples=[["conditioner bottle"]])]
    description_en: Annotated[str | None, Meta(examples=["A plastic bottle for shampoo."])]
    how_to_recycle_en: Annotated[Lines | None, Meta(examples=["Empty and rinse it.\\nTake off the pump."])]
    do_not_do_en: Annotated[Lines | None, Meta(examples=["Do not leave the pump on."])]


class FoundItem(Item, frozen=True, kw_only=True):
    """An item that a search found.

    `score` is 1 for the item's own name, 0.97 for a synonym, 0.94 for what sounds like one of them; 0.6 to 0.92 where a name
    contains the query; at most 0.8 for first consonants (ㄱㅈㅈ), 0.72 where a letter or two differ. A name inside the query
    counts by its share of it.
    """

    score: Annotated[float, Meta(examples=[0.97])]


class AskedItem(Struct, frozen=True):
    """What a kept search found, best first."""

    item_id: UUID
    name: Annotated[str, Meta(examples=["샴푸 통"])]


class UserQuery(Struct, frozen=True):
    """A search that a person made."""

    id: UUID
    query: Annotated[str, Meta(examples=["샴푸통"])]
    result: list[AskedItem]
    created_at: datetime


async def select_categories(conn: Connection) -> list[Category]:
    cur = conn.cursor(row_factory=class_row(Category))
    await cur.execute(
        "SELECT c.category, c.name_ko, c.name_en, count(i.id) AS count, c.how_to_recycle, c.do_not_do,"
        " c.how_to_recycle_en, c.do_not_do_en FROM categories c LEFT JOIN items i ON i.category = c.category"
        " GROUP BY c.category ORDER BY c.position"
    )
    return await cur.fetchall()


async def select_items(
    conn: Connection, category: str | None, after: tuple[str, UUID] | None, limit: int
) -> list[Item]:
    """Items by name, of one category or all, behind the (name, id) `after`."""
    cur = conn.cursor(row_factory=class_row(Item))
    name, id_ = after or ("", UUID(int=0))
    await cur.execute(
        "SELECT id, name, category, description, how_to_recycle, do_not_do, coalesce(images, '[]') AS images, slug,"
        " name_en, synonyms, synonyms_en, description_en, how_to_recycle_en, do_not_do_en FROM items"
        " WHERE (%(category)s::text IS NULL OR category = %(category)s) AND (name, id) > (%(name)s, %(id)s)"
        " ORDER BY name, id LIMIT %(limit)s",
        {"category": category, "name": name, "id": id_, "limit": limit},
    )
    return await cur.fetchall()


async def select_item(conn: Connection, item_id: UUID) -> Item | None:
    cur = conn.cursor(row_factory=class_row(Item))
    await cur.execute(
        "SELECT id, name, category, description, how_to_recycle, do_not_do, coalesce(images, '[]') AS images, slug,"
        " name_en, synonyms, synonyms_en, description_en, how_to_recycle_en, do_not_do_en FROM items WHERE id = %s",
        [item_id],
    )
    return await cur.fetchone()


# Names near a phrase or a word of the query (the function `near` of the migrations), and names that a part of the query
# sounds like. An item's score is that of its best name; words of a query count together, each by its share, but never as
# much as the whole.
SEARCH = """
WITH needle AS MATERIALIZED (
    SELECT word, share, fold(word) AS folded, sound(word) AS sound, is_word
    FROM unnest(%(needles)s::text[], %(shares)s::float8[], %(is_word)s::bool[]) AS n (word, share, is_word)
), scored AS (
    SELECT n.item_id, needle.word, needle.is_word, needle.share * max(CASE
        WHEN n.folded = needle.folded THEN CASE WHEN n.is_synonym THEN 0.97 ELSE 1 END
        WHEN n.sound = needle.sound THEN 0.94
        WHEN starts_with(n.sound, needle.sound) THEN 0.72 + 0.2 * length(needle.sound) / length(n.sound)
        WHEN strpos(n.sound, needle.sound) > 0 THEN 0.6 + 0.2 * length(needle.sound) / length(n.sound)
        -- Letters to change, which weigh less in a long name; levenshtein takes 255 characters at most.
        ELSE greatest(0.01, 0.74 - 0.12 * power(
            10.0 / (5 + greatest(length(n.sound), length(needle.sound)))
            * public.levenshtein(left(n.sound, 255), needle.sound), 1.5)) END) AS score
    FROM needle CROSS JOIN LATERAL near(needle.word) n
    GROUP BY n.item_id, needle.word, needle.is_word, needle.share
), part AS (
    SELECT n.item_id, max(0.05 + 0.8 * p.share) AS score
    FROM unnest(%(parts)s::text[], %(part_shares)s::float8[]) AS p (word, share)
    JOIN item_names n ON n.sound = sound(p.word) GROUP BY n.item_id
), initial AS (
    SELECT item_id, max(CASE WHEN initials = %(initials)s THEN CASE WHEN is_synonym THEN 0.78 ELSE 0.8 END
        ELSE 0.5 + 0.2 * length(%(initials)s) / length(initials) END) AS score
    FROM item_names WHERE %(initials)s <> '' AND initials >= %(initials)s AND initials < %(initials)s || chr(1114111)
    GROUP BY item_id
), best AS (
    SELECT item_id, max(score) AS score FROM (
        SELECT item_id, score FROM scored WHERE NOT is_word
        UNION ALL SELECT item_id, 0.85 * sum(score) FROM scored WHERE is_word GROUP BY item_id
        UNION ALL SELECT item_id, score FROM part
        UNION ALL SELECT item_id, score FROM initial) AS each
    GROUP BY item_id
)
SELECT i.id, i.name, i.category, i.description, i.how_to_recycle, i.do_not_do, coalesce(i.images, '[]') AS images, i.slug,
    i.name_en, i.synonyms, i.synonyms_en, i.description_en, i.how_to_recycle_en, i.do_not_do_en,
    round(least(best.score, 1)::numeric, 4) AS score
FROM (SELECT item_id, score FROM best ORDER BY score DESC, item_id LIMIT %(limit)s) AS best JOIN items i ON i.id = best.item_id
ORDER BY best.score DESC, length(i.name), i.name, i.id
"""


async def select_found(conn: Connection, asked: Asked, limit: int) -> list[FoundItem]:
    """The items whose names fit the query, best first."""
    cur = conn.cursor(row_factory=class_row(FoundItem))
    await cur.execute(SEARCH, search_parameters(asked, limit))
    return await cur.fetchall()


def search_parameters(asked: Asked, limit: int) -> dict[str, Any]:
    """The parameters of SEARCH."""
    return {
        "needles": [*asked.phrases, *asked.words],
        "shares": [*asked.phrases.values(), *asked.words.values()],
        "is_word": [False] * len(asked.phrases) + [True] * len(asked.words),
        "parts": list(asked.parts),
        "part_shares": list(asked.parts.values()),
        "initials": asked.initials,
        "limit": limit,
    }


async def insert_query(
    conn: Connection, id_: UUID, user_id: UUID, query: str, result: Sequence[AskedItem], now: datetime
) -> None:
    await conn.execute(
        "INSERT INTO user_queries (id, user_id, query, result, created_at) VALUES (%s, %s, %s, %s, %s)",
        [id_, user_id, query, Jsonb([{"item_id": str(item.item_id), "name": item.name} for item in result]), now],
    )


async def select_queries(
    conn: Connection, user_id: UUID, after: tuple[datetime, UUID] | None, limit: int
) -> list[UserQuery]:
    """The person's searches, newest first, from the row behind `after`."""
    cur = conn.cursor(row_factory=dict_row)
    created_at, id_ = after or (None, None)
    await cur.execute(
        "SELECT id, query, result, created_at FROM user_queries WHERE user_id = %(user_id)s"
        " AND (%(id)s::uuid IS NULL OR (created_at, id) < (%(created_at)s::timestamp, %(id)s))"
        " ORDER BY created_at DESC, id DESC LIMIT %(limit)s",
        {
            "user_id": user_id,
            # Naive: a cast from timestamptz would go through the connection's time zone.
            "created_at": created_at.replace(tzinfo=None) if created_at else None,
            "id": id_,
            "limit": limit,
        },
    )
    return [
        UserQuery(
            row["id"],
            row["query"],
            [AskedItem(UUID(found["item_id"]), found["name"]) for found in row["result"] or []],
            row["created_at"],
        )
        for row in await cur.fetchall()
    ]


async def delete_queries(conn: Connection, user_id: UUID) -> None:
    await conn.execute("DELETE FROM user_queries WHERE user_id = %s", [user_id])


async def delete_person(conn: Connection, user_id: UUID) -> None:
    """Delete everything kept under a person's id."""
    await conn.execute("DELETE FROM user_queries WHERE user_id = %s", [user_id])
    await conn.execute("DELETE FROM idempotency WHERE user_id = %s", [user_id])


async def lock_items(conn: Connection) -> None:
    """Make others who load items wait until this transaction ends; readers go on."""
    await conn.execute("LOCK TABLE items IN SHARE ROW EXCLUSIVE MODE")


async def upsert_category(conn: Connection, category: Category, position: int) -> None:
    await conn.execute(
        "INSERT INTO categories AS c (category, name_ko, name_en, position, how_to_recycle, do_not_do, how_to_recycle_en,"
        " do_not_do_en) VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (category) DO UPDATE SET"
        " name_ko = excluded.name_ko, name_en = excluded.name_en, position = excluded.position,"
        " how_to_recycle = excluded.how_to_recycle, do_not_do = excluded.do_not_do,"
        " how_to_recycle_en = excluded.how_to_recycle_en, do_not_do_en = excluded.do_not_do_en"
        " WHERE (c.name_ko, c.name_en, c.position, c.how_to_recycle, c.do_not_do, c.how_to_recycle_en, c.do_not_do_en)"
        " IS DISTINCT FROM (excluded.name_ko, excluded.name_en, excluded.position, excluded.how_to_recycle,"
        " excluded.do_not_do, excluded.how_to_recycle_en, excluded.do_not_do_en)",
        [
            category.category,
            category.name_ko,
            category.name_en,
            position,
            category.how_to_recycle,
            category.do_not_do,
            category.how_to_recycle_en,
            category.do_not_do_en,
        ],
    )


async def delete_categories(conn: Connection, kept: Sequence[str]) -> int:
    cur = await conn.execute("DELETE FROM categories WHERE category <> ALL(%s)", [list(kept)])
    return cur.rowcount


async def upsert_items(conn: Connection, items: Sequence[Item]) -> tuple[int, int]:
    """Write the items that do not stand there as they are; return how many were new and how many changed."""
    cur = await conn.execute(
        "INSERT INTO items AS i (id, name, category, description, how_to_recycle, do_not_do, images, slug, name_en,"
        " synonyms, synonyms_en, description_en, how_to_recycle_en, do_not_do_en)"
        " SELECT id, name, category, description, how_to_recycle, do_not_do, images, slug, name_en, synonyms, synonyms_en,"
        " description_en, how_to_recycle_en, do_not_do_en FROM jsonb_populate_recordset(NULL::items, %s)"
        " ON CONFLICT (id) DO UPDATE SET"
        " name = excluded.name, category = excluded.category, description = excluded.description,"
        " how_to_recycle = excluded.how_to_recycle, do_not_do = excluded.do_not_do, images = excluded.images,"
        " slug = excluded.slug, name_en = excluded.name_en, synonyms = excluded.synonyms,"
        " synonyms_en = excluded.synonyms_en, description_en = excluded.description_en,"
        " how_to_recycle_en = excluded.how_to_recycle_en, do_not_do_en = excluded.do_not_do_en"
        " WHERE (i.name, i.category, i.description, i.how_to_recycle, i.do_not_do, i.images, i.slug, i.name_en,"
        " i.synonyms, i.synonyms_en, i.description_en, i.how_to_recycle_en, i.do_not_do_en) IS DISTINCT FROM"
        " (excluded.name, excluded.category, excluded.description, excluded.how_to_recycle, excluded.do_not_do,"
        " excluded.images, excluded.slug, excluded.name_en, excluded.synonyms, excluded.synonyms_en,"
        " excluded.description_en, excluded.how_to_recycle_en, excluded.do_not_do_en)"
        # A row that this statement inserted was locked or deleted by nobody.
        " RETURNING (xmax = 0)",
        [Jsonb(msgspec.to_builtins(items))],
    )
    written = [bool(row[0]) for row in await cur.fetchall()]
    return written.count(True), written.count(False)


async def delete_items(conn: Connection, kept: Sequence[UUID]) -> int:
    """Delete the items that are not among `kept`; return how many."""
    cur = await conn.execute("DELETE FROM items WHERE id <> ALL(%s)", [list(kept)])
    return cur.rowcount
