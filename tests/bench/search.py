"""The item search in 100,000 names, beside a scan for the same words.

Both are server times, planning and execution, as PostgreSQL reports them (`EXPLAIN ANALYZE`) for the search's own statement.
"""

import asyncio
import random
import statistics
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
from psycopg import sql as sql_module

from emulator.servers.postgres import Postgres
from functions.recycle_info import db as sql
from functions.recycle_info import words
from shared.db import Database
from shared.ids import new_id
from tests.bench._system import system

ITEMS, NAMES_EACH = 10_000, 10
QUERIES = 60
SCANS = 5
SYLLABLES = (
    "가강거건고곡공관구군금기나남내노논다달당대도동두라래리마매면명모목무문미바반방배백버범보봉부북비사산삼상서석선성세소송수순스시신"
    "아안애양어여연영오옥온완우운원월유은의이인자장재전정제조주중지진차창천초추충카컵코크타탄태터토통트파판팔팬페포풍프피하학한해호홍화"
)
KINDS = ["용기", "봉투", "상자", "병", "포장재", "뚜껑", "통", "조각", "케이스", "받침", "주머니", "그릇"]
SCAN = "SELECT count(*) FROM item_names WHERE normalize(name, NFD) LIKE %s"


def run() -> list[dict[str, Any]]:
    """Rows for parts of names, names with one wrong letter, and whole questions."""
    rnd = random.Random(1)
    names = list(_names(rnd))
    wanted = rnd.sample([name for name in names if " " not in name], QUERIES)
    parts = [name[(at := rnd.randrange(len(name) - 1)) : at + rnd.randint(2, 4)] for name in wanted]
    typos = [_misspelt(name, rnd) for name in wanted]
    asked = {
        "part of a name": parts,
        "name with a wrong letter": typos,
        "question": [f"다 쓴 {name}은 어떻게 버려요?" for name in wanted],
    }
    with system() as (environment, postgres, _):
        dsn = environment["API_RECYCLE_DB_URL"]
        _fill(postgres, names)
        raw = statistics.median(_scanned(dsn, parts[:SCANS]))
        return [
            {
                "name": f"{kind}, in {ITEMS * NAMES_EACH:,}",
                "ours": statistics.median(spent),
                "raw": raw,
                "ratio": statistics.median(spent) / raw,
                "budget": "≤ 5 ms",
                "unit": "ms",
                "note": f"p99 {statistics.quantiles(spent, n=100)[98]:.2f} ms",
            }
            for kind, spent in asyncio.run(_measured(dsn, asked)).items()
        ]


def _names(rnd: random.Random) -> Iterator[str]:
    """Two to four syllables of no meaning, and what kind of thing it is."""
    for _ in range(ITEMS * NAMES_EACH):
        yield "".join(rnd.choices(SYLLABLES, k=rnd.randint(2, 4))) + rnd.choice(("", " ")) + rnd.choice(KINDS)


def _misspelt(name: str, rnd: random.Random) -> str:
    """The name with the vowel of one syllable replaced."""
    at = rnd.randrange(len(name))
    letters = list(unicodedata.normalize("NFD", name[at]))
    letters[1] = chr(rnd.choice([code for code in range(0x1161, 0x1176) if chr(code) != letters[1]]))
    return name[:at] + unicodedata.normalize("NFC", "".join(letters)) + name[at + 1 :]


def _fill(postgres: Postgres, names: Sequence[str]) -> None:
    with psycopg.connect(postgres.dsn("postgres"), autocommit=True) as conn:
        # Row by row, the trigger and the indexes would take minutes.
        conn.execute("SET session_replication_role = replica")
        indexes = conn.execute(
            "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'item_names' AND indexname <> 'item_names_pkey'"
        ).fetchall()
        for name, _ in indexes:
            conn.execute(sql_module.SQL("DROP INDEX {}").format(sql_module.Identifier("recycle_info", name)))
        items = [str(new_id()) for _ in range(ITEMS)]
        with conn.cursor().copy("COPY recycle_info.items (id, name, category) FROM STDIN") as copy:
            for item, name in zip(items, names[::NAMES_EACH], strict=True):
                copy.write_row((item, name, "general"))
        with conn.cursor().copy("COPY recycle_info.item_names (item_id, name, is_synonym) FROM STDIN") as copy:
            # A set: the random names hold some twice.
            for at, name in sorted({(at // NAMES_EACH, name) for at, name in enumerate(names)}):
                copy.write_row((items[at], name, name != names[at * NAMES_EACH]))
        for _, definition in indexes:
            conn.execute(definition)
        conn.execute("VACUUM (ANALYZE) recycle_info.items, recycle_info.item_names")


def _scanned(dsn: str, parts: Sequence[str]) -> Iterator[float]:
    with psycopg.connect(dsn, autocommit=True) as conn:
        for part in parts:
            pattern = f"%{unicodedata.normalize('NFD', part)}%"
            row = conn.execute(
                f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {SCAN}", [pattern], prepare=False
            ).fetchone()
            assert row is not None
            yield row[0][0]["Planning Time"] + row[0][0]["Execution Time"]


async def _measured(dsn: str, asked: dict[str, list[str]]) -> dict[str, list[float]]:
    """Milliseconds in the server, for each kind of query."""
    database = Database(dsn, size=1)
    await database.open()
    found: dict[str, list[float]] = {}
    try:
        async with database.connection() as conn:
            for query in asked["part of a name"]:  # a first time, for caches and plans
                await sql.select_found(conn, words.read(query), 20)
            for kind, queries in asked.items():
                found[kind] = []
                for query in queries:
                    values = sql.search_parameters(words.read(query), 20)
                    cur = await conn.execute(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {sql.SEARCH}", values)
                    plan = (await cur.fetchall())[0][0][0]
                    found[kind].append(plan["Planning Time"] + plan["Execution Time"])
    finally:
        await database.close()
    return found
