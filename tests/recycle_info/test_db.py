"""The lists' statements, planned as PostgreSQL plans them once it no longer looks at the values."""

import json
import re

import pytest

from functions.recycle_info import db as sql
from functions.recycle_info import words
from shared.db import Database

TYPES = {
    "id": "uuid",
    "user_id": "uuid",
    "name": "text",
    "category": "text",
    "created_at": "timestamp",
    "limit": "bigint",
}
VALUES = {
    "uuid": "'00000000-0000-0000-0000-000000000000'",
    "text": "'가'",
    "timestamp": "'2026-01-01'",
    "bigint": "20",
}


@pytest.mark.parametrize(
    ("statement", "condition"),
    [
        (sql.ITEMS, "(ROW((name)::text, id) > ROW($1, $2))"),
        (sql.ITEMS_OF_CATEGORY, "(((category)::text = $1) AND (ROW((name)::text, id) > ROW($2, $3)))"),
        (sql.QUERIES, "((user_id = $1) AND (ROW(created_at, id) < ROW($2, $3)))"),
    ],
)
async def test_a_page_is_read_from_where_it_begins_under_a_generic_plan(
    database: Database, statement: str, condition: str
) -> None:
    names = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", statement)))
    numbered = re.sub(r"%\((\w+)\)s", lambda found: f"${names.index(found[1]) + 1}", statement)
    types = [TYPES[name] for name in names]
    async with database.transaction() as conn:
        await conn.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        # The tables are small here; what is asked is what the index is used for.
        await conn.execute("SET LOCAL enable_seqscan = off")
        await conn.execute(f"PREPARE listed ({', '.join(types)}) AS {numbered}")  # type: ignore[arg-type]  # text of this test
        values = ", ".join(VALUES[type_] for type_ in types)
        cur = await conn.execute(f"EXPLAIN (FORMAT JSON) EXECUTE listed ({values})")  # type: ignore[arg-type]  # the same
        plan = json.dumps((await cur.fetchall())[0][0])
        await conn.execute("DEALLOCATE listed")
    assert json.dumps(condition)[1:-1] in plan, plan
    assert '"Index Cond"' in plan
    assert "Sort" not in plan


async def test_searches_of_any_length_share_one_plan(database: Database) -> None:
    async with database.connection() as conn:
        await conn.execute("ANALYZE items, item_names")
        for text in [
            "병",
            "깨진 유리컵",
            "ㄱㅈㅈ 병",
            "ㄱㅈㅈ",
            "다 쓴 건전지는 어떻게 버려요?",
            "how do I recycle a pizza box",
        ] * 4:
            await sql.select_found(conn, words.read(text), 20)
        cur = await conn.execute("SELECT generic_plans FROM pg_prepared_statements WHERE statement LIKE '%needle%'")
        assert [count > 0 for (count,) in await cur.fetchall()] == [True]


async def test_a_search_s_lists_come_to_postgresql_letter_by_letter(database: Database) -> None:
    phrases = {'a "b" \\c {d},e': 0.1, "": 1 / 3, "NULL": 1e-7, "{}": 0.0, "\\": 1.0, "가\n나": 0.5}
    given = sql.search_parameters(words.Asked(phrases=phrases, words={"한": 0.25}), 20)
    async with database.connection() as conn:
        cur = await conn.execute("SELECT %(needles)s::text[], %(shares)s::float8[], %(is_word)s::bool[]", given)
        assert await cur.fetchone() == ([*phrases, "한"], [*phrases.values(), 0.25], [False] * 6 + [True])
        cur = await conn.execute("SELECT %(texts)s::text[], %(parts)s::float8[], %(bounded)s::bool[]", given)
        assert await cur.fetchone() == ([], [], [])


@pytest.mark.parametrize(("word", "found"), [("전자랜지", "전자레인지"), ("알미늄캔", "알루미늄 캔"), ("뷁", None)])
async def test_a_name_is_guessed_by_what_is_spelt_like_it(database: Database, word: str, found: str | None) -> None:
    async with database.connection() as conn:
        cur = await conn.execute("SELECT name FROM guesses(%s)", [word])
        names = [name for (name,) in await cur.fetchall()]
    assert found in names if found else names == []


async def test_what_is_only_alike_is_below_the_floor_however_much_of_the_text_it_is(database: Database) -> None:
    async with database.connection() as conn:
        found = await sql.select_found(conn, words.Asked(parts={"페트병": 1.0}), 10)
    assert {item.score for item in found} == {sql.FLOOR - 0.01}
