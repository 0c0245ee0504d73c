"""The SQL of recycle-info: items, the words they are found by, and what a person has searched for."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, TypedDict
from uuid import UUID

import msgspec
from msgspec import Meta, Struct
from psycopg.rows import class_row, dict_row
from psycopg.types.json import Jsonb

from functions.recycle_info.words import Asked, Head
from shared.db import Connection
from shared.fields import Count, Share, Time
from shared.ids import first_id
from shared.pages import row_behind
from shared.together import later

CategoryName = Annotated[
    Literal[
        "paper", "paper_pack", "plastic", "pet_clear", "vinyl", "styrofoam", "glass", "metal", "clothing", "battery",
        "lighting", "electronics", "food", "bulky", "general",
    ],
    Meta(title="CategoryName", description="A kind of waste that items have."),
]  # fmt: skip


class Category(Struct, frozen=True):
    """A kind of waste.

    Attributes:
        category: its name for programs.
        name_ko, name_en: its names for people.
        count: how many items there are of it.
        how_to_recycle, do_not_do: what holds for all of them, in Korean, a rule a line.
        how_to_recycle_en, do_not_do_en: the same in English.
    """

    category: Annotated[CategoryName, Meta(examples=["plastic"])]
    name_ko: Annotated[str, Meta(examples=["플라스틱류"])]
    name_en: Annotated[str, Meta(examples=["Plastic containers"])]
    count: Annotated[Count, Meta(examples=[24])]
    how_to_recycle: Annotated[str, Meta(examples=["내용물을 비우고 헹굽니다."])]
    do_not_do: Annotated[str, Meta(examples=["이물질이 묻은 채 배출하지 마세요."])]
    how_to_recycle_en: Annotated[str, Meta(examples=["Empty and rinse it."])]
    do_not_do_en: Annotated[str, Meta(examples=["Do not put it in with food on it."])]


class Said(TypedDict):
    """The same in both languages.

    Attributes:
        ko: Korean.
        en: English.
    """

    ko: Annotated[str, Meta(min_length=2, max_length=300, examples=["네, 물로 헹굽니다."])]
    en: Annotated[str, Meta(min_length=2, max_length=300, examples=["Yes, rinse it."])]


class Publication(TypedDict):
    """Where a rule comes from.

    Attributes:
        title, title_en: the publication's, in Korean and in English.
        publisher: in Korean.
        date: the day, month or year whose state it tells.
    """

    title: Annotated[str, Meta(examples=["「재활용가능자원의 분리수거 등에 관한 지침」 별표 1"])]
    title_en: Annotated[str, Meta(examples=["Guideline on the separate collection of recyclable resources, annex 1"])]
    publisher: Annotated[str, Meta(examples=["환경부"])]
    date: Annotated[str, Meta(examples=["2024-02-15"])]


class Item(Struct, frozen=True, kw_only=True):
    """A thing people throw away, in Korean and, in the fields ending with `_en`, in English.

    Attributes:
        id: the item's.
        name, name_en: what people call it.
        category: the kind of waste that it is.
        description, description_en: what it is.
        how_to_recycle, how_to_recycle_en: what to do, a step a line.
        do_not_do, do_not_do_en: what not to do, a line each.
        images: addresses of pictures.
        slug: its name in addresses.
        synonyms, synonyms_en: other names of it.
        why, why_en: why it is done so.
        bins: the bins and services that the steps name.
        exceptions: what to do when it is dirty, broken, mixed …
        answers: short answers by what is asked: rinse, label, lid, crush, toilet, rain …
        source: where the rule comes from.
    """

    id: UUID
    name: Annotated[str, Meta(examples=["샴푸 통"])]
    category: Annotated[str, Meta(examples=["plastic"])]
    description: Annotated[str | None, Meta(examples=["샴푸를 담는 플라스틱 용기입니다."])]
    how_to_recycle: Annotated[str | None, Meta(examples=["내용물을 비우고 헹굽니다.\\n펌프를 빼고 배출합니다."])]
    do_not_do: Annotated[str | None, Meta(examples=["펌프를 끼운 채 배출하지 마세요."])]
    images: Annotated[list[str], Meta(examples=[[]])]
    slug: Annotated[str | None, Meta(examples=["shampoo-bottle"])]
    name_en: Annotated[str | None, Meta(examples=["Shampoo bottle"])]
    synonyms: Annotated[list[str], Meta(examples=[["린스 통"]])]
    synonyms_en: Annotated[list[str], Meta(examples=[["conditioner bottle"]])]
    description_en: Annotated[str | None, Meta(examples=["A plastic bottle for shampoo."])]
    how_to_recycle_en: Annotated[str | None, Meta(examples=["Empty and rinse it.\\nTake off the pump."])]
    do_not_do_en: Annotated[str | None, Meta(examples=["Do not leave the pump on."])]
    why: Annotated[str | None, Meta(examples=["펌프에는 금속 스프링이 들어 있습니다."])]
    why_en: Annotated[str | None, Meta(examples=["The pump has a metal spring inside."])]
    bins: Annotated[list[str], Meta(examples=[["plastics"]])]
    exceptions: Annotated[
        dict[str, Said],
        Meta(
            examples=[
                {
                    "dirty": {
                        "ko": "씻어도 지지 않으면 종량제봉투에 버립니다.",
                        "en": "If it stays dirty, use the pay-as-you-throw bag.",
                    }
                }
            ],
        ),
    ]
    answers: Annotated[
        dict[str, Said],
        Meta(
            examples=[{"rinse": {"ko": "네, 물로 헹굽니다.", "en": "Yes, rinse it."}}],
        ),
    ]
    source: Annotated[
        Publication | None,
        Meta(
            examples=[
                {
                    "title": "「재활용가능자원의 분리수거 등에 관한 지침」 별표 1",
                    "title_en": "Guideline on the separate collection of recyclable resources, annex 1",
                    "publisher": "환경부",
                    "date": "2024-02-15",
                }
            ]
        ),
    ]


class FoundItem(Item, frozen=True, kw_only=True):
    """An item that a search found.

    Attributes:
        score: 1 for the item's own name, 0.97 for a synonym, 0.94 for what sounds like one of them; 0.6 to 0.92 where a name
            contains the query; at most 0.8 for first consonants (ㄱㅈㅈ), 0.72 where a letter or two differ. A name inside the
            query counts by its share of it.
    """

    score: Annotated[Share, Meta(examples=[0.97])]


class AskedItem(Struct, frozen=True):
    """An item that a kept search found.

    Attributes:
        item_id: the item's.
        name: in Korean.
    """

    item_id: UUID
    name: Annotated[str, Meta(examples=["샴푸 통"])]


class UserQuery(Struct, frozen=True):
    """A search that a person made.

    Attributes:
        id: the search's.
        query: what was typed.
        result: the best first.
        created_at: when.
    """

    id: UUID
    query: Annotated[str, Meta(examples=["샴푸통"])]
    result: list[AskedItem]
    created_at: Time


CATEGORIES = """
    SELECT c.category, c.name_ko, c.name_en, count(i.id) AS count,
           c.how_to_recycle, c.do_not_do, c.how_to_recycle_en, c.do_not_do_en
    FROM categories c LEFT JOIN items i ON i.category = c.category
    GROUP BY c.category
    ORDER BY c.position
"""
# Two statements: with "category IS NULL OR ..." PostgreSQL's generic plan would use no index.
ITEMS = """
    SELECT i.id, i.name, i.category, i.description, i.how_to_recycle, i.do_not_do,
           coalesce(i.images, '[]') AS images, i.slug, i.name_en, i.synonyms, i.synonyms_en, i.description_en,
           i.how_to_recycle_en, i.do_not_do_en, i.why, i.why_en, i.bins, i.exceptions, i.answers, i.source
    FROM items i WHERE (name, id) > (%(name)s, %(id)s)
    ORDER BY name, id LIMIT %(limit)s
"""
ITEMS_OF_CATEGORY = """
    SELECT i.id, i.name, i.category, i.description, i.how_to_recycle, i.do_not_do,
           coalesce(i.images, '[]') AS images, i.slug, i.name_en, i.synonyms, i.synonyms_en, i.description_en,
           i.how_to_recycle_en, i.do_not_do_en, i.why, i.why_en, i.bins, i.exceptions, i.answers, i.source
    FROM items i WHERE category = %(category)s AND (name, id) > (%(name)s, %(id)s)
    ORDER BY name, id LIMIT %(limit)s
"""
ITEM = """
    SELECT i.id, i.name, i.category, i.description, i.how_to_recycle, i.do_not_do,
           coalesce(i.images, '[]') AS images, i.slug, i.name_en, i.synonyms, i.synonyms_en, i.description_en,
           i.how_to_recycle_en, i.do_not_do_en, i.why, i.why_en, i.bins, i.exceptions, i.answers, i.source
    FROM items i WHERE i.id = %(id)s
"""


async def select_categories(conn: Connection) -> list[Category]:
    cur = conn.cursor(row_factory=class_row(Category))
    await cur.execute(CATEGORIES)
    return await cur.fetchall()


async def select_items(
    conn: Connection, category: str | None, after: tuple[str, UUID] | None, limit: int
) -> list[Item]:
    """Items by name, of one category or all, behind the (name, id) `after`."""
    cur = conn.cursor(row_factory=class_row(Item))
    name, id_ = after or ("", UUID(int=0))
    statement = ITEMS if category is None else ITEMS_OF_CATEGORY
    await cur.execute(statement, {"category": category, "name": name, "id": id_, "limit": limit})
    return await cur.fetchall()


async def select_item(conn: Connection, item_id: UUID) -> Item | None:
    cur = conn.cursor(row_factory=class_row(Item))
    await cur.execute(ITEM, {"id": item_id})
    return await cur.fetchone()


# An answer's least score. Below it there are resemblances, which are not answers: a part of the query that is a name, a word of
# several, a name that is spelt somewhat alike.
FLOOR = 0.6
NO_HEAD = Head("", "", bounded=False, share=0.0)

# Three ways to a name. `near` and `guesses` (functions of the migrations) bring what a phrase or a word of the query is a part
# of or is spelt like; `met` are the names that a text out of the query is, as it sounds: parts of it, its end, what is left
# without a lid or a box. An item's score is that of its best name; words of a query count together, each by its share, but
# never as much as the whole. `sure` is what may be answered: the score of the rest stays below the floor.
# The parameters that differ in length are in a SELECT of their own: PostgreSQL then expects the same of each search, and keeps
# one plan. To plan this statement anew takes as long as to run it.
SEARCH = """
WITH needle AS MATERIALIZED (
    SELECT word, share, is_word, word ~ '^[ -~]*$' AS is_ascii,
           fold(word) AS folded, sound(word) AS sound, skeleton(word) AS skeleton, shortened(word) AS shortened
    FROM unnest((SELECT %(needles)s::text[]), (SELECT %(shares)s::float8[]), (SELECT %(is_word)s::bool[]))
         AS n (word, share, is_word)
), met AS MATERIALIZED (
    SELECT n.item_id, n.folded = fold(t.word) AS as_written, length(n.sound) AS letters,
           t.part, t.name, t.whole, t.head, t.before, t.bounded
    FROM unnest((SELECT %(texts)s::text[]), (SELECT %(parts)s::float8[]), (SELECT %(names)s::float8[]),
                (SELECT %(wholes)s::float8[]), (SELECT %(heads)s::float8[]), (SELECT %(befores)s::text[]),
                (SELECT %(bounded)s::bool[])) AS t (word, part, name, whole, head, before, bounded)
    JOIN item_names n ON n.sound = sound(t.word)
), close AS MATERIALIZED (
    SELECT needle.word, n.* FROM needle CROSS JOIN LATERAL near(needle.word) n
), guessed AS (
    -- What costs most, only where no name is the text, has it in it or differs from it by a letter.
    SELECT needle.word, n.* FROM needle CROSS JOIN LATERAL guesses(needle.word) n
    WHERE NOT needle.is_word AND NOT EXISTS (SELECT FROM met WHERE name > 0.8)
    AND NOT EXISTS (
        SELECT FROM close c JOIN needle USING (word)
        WHERE NOT needle.is_word AND (strpos(c.sound, needle.sound) > 0
            OR public.levenshtein_less_equal(left(c.sound, 255), left(needle.sound, 255), 1) < 2))
), compared AS (
    SELECT n.item_id, n.is_synonym, n.folded, n.sound, n.skeleton, needle.word, needle.is_word, needle.share,
           needle.folded AS wanted, needle.sound AS heard, needle.skeleton AS consonants, needle.is_ascii,
           n.name, strpos(n.sound, needle.sound) AS at,
           -- Whether the name has the word as a word, and not as letters in the middle of others: love is in no gloves.
           strpos(' ' || lower(n.name), ' ' || needle.word) > 0 AS has_word,
           greatest(length(n.sound), length(needle.sound)) AS letters,
           -- levenshtein takes 255 characters at most.
           public.levenshtein(left(n.sound, 255), left(needle.sound, 255)) AS differing,
           -- Also two letters that changed places.
           n.shortened && needle.shortened AS misspelt
    FROM needle JOIN (SELECT * FROM close UNION ALL SELECT * FROM guessed) AS n USING (word)
), scored AS (
    SELECT item_id, word, is_word, share, bool_or(sure) AS sure,
           share * max(CASE WHEN NOT sure OR is_word THEN score ELSE greatest(score, 0.72 - 0.01 * least(differing, 5)) END)
               AS score
    FROM (
        SELECT item_id, word, is_word, share, differing, CASE
                WHEN folded = wanted THEN CASE WHEN is_synonym THEN 0.97 ELSE 1 END
                WHEN sound = heard THEN 0.94
                WHEN at = 1 THEN 0.72 + 0.2 * length(heard) / letters
                WHEN at > 1 THEN 0.6 + 0.2 * length(heard) / letters
                -- Letters to change, which weigh less in a long name.
                ELSE greatest(0.01, 0.74 - 0.12 * power(10.0 / (5 + letters) * differing, 1.5))
            END AS score, CASE
                -- A syllable that sounds alike is another word: 꿀 is no 굴.
                WHEN folded = wanted OR sound = heard AND letters > 3 THEN TRUE
                WHEN is_word THEN FALSE
                -- As it is written, and most of the name: 불교 sounds like the beginning of 불꽃, 탱크 is no 물탱크, and a whole
                -- word before others only says what kind of thing it is: 거북이 is no 거북이 어항.
                WHEN at > 0 THEN strpos(folded, wanted) > 0 AND length(heard) > 3 AND length(heard) >= letters * CASE
                    WHEN is_ascii THEN CASE WHEN has_word THEN 0.6 ELSE 2 END
                    WHEN word LIKE '%% %%' AND has_word THEN 0.5
                    WHEN starts_with(lower(name), word || ' ') THEN 0.8
                    WHEN at = 1 THEN 0.8
                    WHEN at + length(heard) = length(sound) + 1 THEN CASE WHEN has_word THEN 0.5 ELSE 0.7 END
                    ELSE 2 END
                -- A wrong vowel in a short Korean name; a letter in a longer one, two and three in long ones.
                WHEN letters < 6 THEN is_ascii AND letters = 5 AND misspelt AND skeleton = consonants
                -- Only a vowel that is often written for the other: ㅏ and ㅐ, ㅗ and ㅜ, ㅡ and ㅓ. 동굴 is no 덩굴.
                WHEN letters < 8 AND NOT is_ascii THEN differing = 1 AND (skeleton = consonants AND (
                        translate(sound, 'ᅦᅪᅯᅮᅱᅴ', 'ᅡᅡᅥᅩᅵᅵ') = translate(heard, 'ᅦᅪᅯᅮᅱᅴ', 'ᅡᅡᅥᅩᅵᅵ')
                        OR translate(sound, 'ᅳᅰᅱ', 'ᅮᅦᅮ') = translate(heard, 'ᅳᅰᅱ', 'ᅮᅦᅮ')
                        OR translate(sound, 'ᅳᅵ', 'ᅥᅦ') = translate(heard, 'ᅳᅵ', 'ᅥᅦ'))
                    -- A consonant too few or too many: 세타기.
                    OR letters = 7 AND length(sound) <> length(heard) AND left(sound, 2) = left(heard, 2))
                ELSE left(sound, 1) = left(heard, 1) AND (
                    misspelt OR is_ascii AND differing = 2 AND skeleton = consonants
                    OR differing <= CASE WHEN letters < 12 THEN 1 WHEN letters < 17 THEN 2 ELSE 3 END)
            END AS sure
        FROM compared) AS each
    GROUP BY item_id, word, is_word, share
), initial AS (
    SELECT item_id, max(CASE WHEN n.initials = a.initials THEN CASE WHEN is_synonym THEN 0.78 ELSE 0.8 END
        ELSE 0.5 + 0.2 * length(a.initials) / length(n.initials) END) AS score
    FROM (SELECT %(initials)s::text AS initials OFFSET 0) a
    JOIN item_names n ON a.initials <> '' AND n.initials >= a.initials AND n.initials < a.initials || chr(1114111)
    GROUP BY item_id
), best AS (
    SELECT item_id, max(CASE WHEN sure THEN greatest(score, %(floor)s) ELSE least(score, %(floor)s - 0.01) END) AS score FROM (
        SELECT item_id, score, sure FROM scored WHERE NOT is_word
        UNION ALL
        SELECT item_id, 0.85 * sum(score), FALSE FROM scored WHERE is_word GROUP BY item_id
        UNION ALL
        -- All words in one name, in another order or with others between them.
        SELECT item_id, 0.8, TRUE
        FROM (SELECT DISTINCT item_id, name, word, share FROM compared WHERE is_word AND has_word) AS held
        -- What a thing is stands last: 유리 식탁 is no 식탁 유리.
        GROUP BY item_id, name HAVING sum(share) > 0.99 AND (name ~ '^[ -~]*$' OR name LIKE '%%' || %(last)s)
        UNION ALL
        -- The food itself is no packing of its own.
        SELECT item_id, 0.6 + 0.05 * whole, TRUE
        FROM met JOIN items i ON i.id = met.item_id AND i.category <> 'food' WHERE whole > 0 AND as_written
        UNION ALL
        SELECT item_id, 0.05 + 0.8 * part, FALSE FROM met WHERE part > 0
        UNION ALL
        SELECT item_id, 0.05 + 0.8 * name, TRUE FROM met WHERE name > 0 AND (as_written OR letters > 7)
        UNION ALL
        -- As it is written: 용기 sounds like 옹기.
        SELECT item_id, 0.6 + 0.1 * head, TRUE FROM met
        WHERE head > 0 AND as_written
        AND (bounded OR length(before) > 1 AND EXISTS (SELECT FROM item_names WHERE sound = sound(before)))
        UNION ALL
        SELECT item_id, score, score > 0.7 OR length(%(initials)s) > 2 FROM initial) AS each
    GROUP BY item_id
)
SELECT i.id, i.name, i.category, i.description, i.how_to_recycle, i.do_not_do,
       coalesce(i.images, '[]') AS images, i.slug, i.name_en, i.synonyms, i.synonyms_en, i.description_en,
       i.how_to_recycle_en, i.do_not_do_en, i.why, i.why_en, i.bins, i.exceptions, i.answers, i.source,
       round(least(best.score, 1)::numeric, 4) AS score
FROM (SELECT item_id, score FROM best ORDER BY score DESC, item_id LIMIT (SELECT %(limit)s::bigint)) AS best
JOIN items i ON i.id = best.item_id
ORDER BY best.score DESC, length(i.name), i.name, i.id
"""


async def select_found(conn: Connection, asked: Asked, limit: int) -> list[FoundItem]:
    """The items whose names are like the query, best first; only those from FLOOR are an answer."""
    cur = conn.cursor(row_factory=class_row(FoundItem))
    await cur.execute(SEARCH, search_parameters(asked, limit))
    return await cur.fetchall()


def search_parameters(asked: Asked, limit: int) -> dict[str, Any]:
    """The parameters of SEARCH."""
    heads = {head.text: head for head in asked.heads}
    # Each text once, whatever it may be: to look it up is what costs. 0 for what it is not.
    texts = list(asked.parts | asked.wholes | dict.fromkeys(heads))
    ends = [heads.get(text, NO_HEAD) for text in texts]
    return {
        "needles": _texts([*asked.phrases, *asked.words]),
        "shares": _numbers([*asked.phrases.values(), *asked.words.values()]),
        "is_word": _numbers([False] * len(asked.phrases) + [True] * len(asked.words)),
        "texts": _texts(texts),
        "parts": _numbers([asked.parts.get(text, 0.0) for text in texts]),
        "names": _numbers([asked.names.get(text, 0.0) for text in texts]),
        "wholes": _numbers([asked.wholes.get(text, 0.0) for text in texts]),
        "heads": _numbers([end.share for end in ends]),
        "befores": _texts([end.before for end in ends]),
        "bounded": _numbers([end.bounded for end in ends]),
        "last": next(reversed(asked.words), ""),
        "initials": asked.initials,
        "floor": FLOOR,
        "limit": limit,
    }


def _numbers(values: Sequence[float | bool]) -> str:
    """An array as PostgreSQL reads it: psycopg goes through the elements of ten lists one by one, half a millisecond a search."""
    return f"{{{','.join(map(str, values))}}}"


def _texts(values: Sequence[str]) -> str:
    quoted = (text.replace("\\", "\\\\").replace('"', '\\"') for text in values)
    return "{" + ",".join(f'"{text}"' for text in quoted) + "}"


INSERT_QUERY = """
    INSERT INTO user_queries (id, user_id, query, result, created_at)
    VALUES (%(id)s, %(user_id)s, %(query)s, %(result)s, %(created_at)s)
"""
QUERIES = """
    SELECT id, query, result, created_at FROM user_queries
    WHERE user_id = %(user_id)s AND (created_at, id) < (%(created_at)s::timestamp, %(id)s)
    ORDER BY created_at DESC, id DESC LIMIT %(limit)s
"""


async def insert_query(
    conn: Connection, id_: UUID, user_id: UUID, query: str, result: Sequence[AskedItem], now: datetime
) -> None:
    found = Jsonb([{"item_id": str(item.item_id), "name": item.name} for item in result])
    values = {"id": id_, "user_id": user_id, "query": query, "result": found, "created_at": now}
    await conn.execute(INSERT_QUERY, values)


async def select_queries(
    conn: Connection, user_id: UUID, after: tuple[datetime, UUID] | None, limit: int
) -> list[UserQuery]:
    """The person's searches, newest first, from the row behind `after`."""
    cur = conn.cursor(row_factory=dict_row)
    created_at, id_ = row_behind(after)
    await cur.execute(QUERIES, {"user_id": user_id, "created_at": created_at, "id": id_, "limit": limit})
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


async def delete_old_queries(conn: Connection, before: datetime, limit: int) -> int:
    """Delete the oldest searches made before then; return how many. By id, which begins with the time."""
    cur = await conn.execute(
        """
        DELETE FROM user_queries
        WHERE id = ANY (ARRAY(SELECT id FROM user_queries WHERE id < %s AND created_at < %s ORDER BY id LIMIT %s))
        """,
        [first_id(before), before, limit],
    )
    return cur.rowcount


async def delete_person(conn: Connection, user_id: UUID) -> None:
    """Delete everything kept under a person's id."""
    await conn.execute("DELETE FROM user_queries WHERE user_id = %s", [user_id])
    await conn.execute("DELETE FROM idempotency WHERE user_id = %s", [user_id])


UPSERT_CATEGORY = """
    INSERT INTO categories AS c (
        category, name_ko, name_en, position, how_to_recycle, do_not_do, how_to_recycle_en, do_not_do_en)
    VALUES (
        %(category)s, %(name_ko)s, %(name_en)s, %(position)s,
        %(how_to_recycle)s, %(do_not_do)s, %(how_to_recycle_en)s, %(do_not_do_en)s)
    ON CONFLICT (category) DO UPDATE SET
        (name_ko, name_en, position, how_to_recycle, do_not_do, how_to_recycle_en, do_not_do_en) = (
            excluded.name_ko, excluded.name_en, excluded.position, excluded.how_to_recycle, excluded.do_not_do,
            excluded.how_to_recycle_en, excluded.do_not_do_en)
    WHERE c.* IS DISTINCT FROM excluded.*
"""
# Whole rows are compared: a column that a later migration adds is compared too.
UPSERT_ITEMS = """
    INSERT INTO items AS i (
        id, name, category, description, how_to_recycle, do_not_do, images, slug, name_en, synonyms, synonyms_en,
        description_en, how_to_recycle_en, do_not_do_en, why, why_en, bins, exceptions, answers, source)
    SELECT
        id, name, category, description, how_to_recycle, do_not_do, images, slug, name_en, synonyms, synonyms_en,
        description_en, how_to_recycle_en, do_not_do_en, why, why_en, bins, exceptions, answers, source
    FROM jsonb_populate_recordset(NULL::items, %s)
    ON CONFLICT (id) DO UPDATE SET
        (name, category, description, how_to_recycle, do_not_do, images, slug, name_en, synonyms, synonyms_en,
         description_en, how_to_recycle_en, do_not_do_en, why, why_en, bins, exceptions, answers, source) = (
            excluded.name, excluded.category, excluded.description, excluded.how_to_recycle, excluded.do_not_do,
            excluded.images, excluded.slug, excluded.name_en, excluded.synonyms, excluded.synonyms_en,
            excluded.description_en, excluded.how_to_recycle_en, excluded.do_not_do_en, excluded.why, excluded.why_en,
            excluded.bins, excluded.exceptions, excluded.answers, excluded.source)
    WHERE i.* IS DISTINCT FROM excluded.*
    -- A row that this statement inserted was locked or deleted by nobody.
    RETURNING (xmax = 0)
"""


async def lock_items(conn: Connection) -> None:
    """Make others who load items wait until this transaction ends; readers go on."""
    # Longer than a request would wait: the load before has all items to write, and so has this one.
    await later(conn, "SET LOCAL lock_timeout = '10min'")
    await later(conn, "SET LOCAL statement_timeout = '10min'")
    await conn.execute("LOCK TABLE items IN SHARE ROW EXCLUSIVE MODE")


async def analyze_items(conn: Connection) -> None:
    """Tell the planner what a load has changed.

    Until autovacuum comes by, a search would read all names to find those that a text out of the query is, for twice the
    cost.
    """
    # Only what conditions are about: the others' statistics take three times as long.
    await conn.execute("ANALYZE items (category, name), item_names (sound, skeleton, folded, initials)")


async def upsert_category(conn: Connection, category: Category, position: int) -> None:
    await conn.execute(UPSERT_CATEGORY, {**msgspec.structs.asdict(category), "position": position})


async def delete_categories(conn: Connection, kept: Sequence[str]) -> int:
    cur = await conn.execute("DELETE FROM categories WHERE category <> ALL(%s)", [list(kept)])
    return cur.rowcount


async def upsert_items(conn: Connection, items: Sequence[Item]) -> tuple[int, int]:
    """Write the items that are not there as they are; return how many were new and how many changed."""
    cur = await conn.execute(UPSERT_ITEMS, [Jsonb(msgspec.to_builtins(items))])
    written = [bool(row[0]) for row in await cur.fetchall()]
    return written.count(True), written.count(False)


async def delete_items(conn: Connection, kept: Sequence[UUID]) -> int:
    """Delete the items that are not among `kept`; return how many."""
    cur = await conn.execute("DELETE FROM items WHERE id <> ALL(%s)", [list(kept)])
    return cur.rowcount
