"""The item search in 100,000 names, beside a scan for the same words.

Both are processor time of the server's process for the connection, planning included, from the first search of a connection
that is in use: PostgreSQL plans the first five of a statement anew. The slowest hundredth of a hundred texts is one text: it
is the median of three passes, or what a busy machine does to a single statement would be told in its place.
"""

import asyncio
import random
import statistics
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
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
QUERIES = 100
SCANS = 5
PASSES = 3
SYLLABLES = (
    "가강거건고곡공관구군금기나남내노논다달당대도동두라래리마매면명모목무문미바반방배백버범보봉부북비사산삼상서석선성세소송수순스시신"
    "아안애양어여연영오옥온완우운원월유은의이인자장재전정제조주중지진차창천초추충카컵코크타탄태터토통트파판팔팬페포풍프피하학한해호홍화"
)
KINDS = ["용기", "봉투", "상자", "병", "포장재", "뚜껑", "통", "조각", "케이스", "받침", "주머니", "그릇"]
STRANGE = ["가위", "나무", "다리", "수건", "바퀴", "모자", *KINDS]
LONG = (
    "안녕하세요 제가 어제 이사를 하면서 정리를 하다가 보니까 오래된 {} 그리고 낡은 의자 하나와 깨진 거울이 나왔는데 이걸 전부 "
    "그냥 종량제 봉투에 넣어서 버려도 되는 건지 아니면 대형폐기물 스티커를 사서 붙여야 하는 건지 잘 모르겠어서 여쭤봅니다 "
    "혹시 재활용이 되는 부분이 있으면 따로 분리해서 내놓아야 하나요"
)
SCAN = "SELECT count(*) FROM item_names WHERE normalize(name, NFD) LIKE %s"


def run() -> list[dict[str, Any]]:
    """A row for each kind of text, and one for the slowest hundredth of the slowest kind."""
    rnd = random.Random(1)
    names = list(_names(rnd))
    asked = _asked(names, rnd)
    with system() as (environment, postgres, _):
        dsn = environment["API_RECYCLE_DB_URL"]
        _fill(postgres, names)
        raw = statistics.median(_scanned(dsn, asked["part of a name"][:SCANS]))
        passes = [asyncio.run(_measured(dsn, asked)) for _ in range(PASSES)]
    rows = [
        _row(
            f"{kind}, in {ITEMS * NAMES_EACH:,}",
            statistics.median(chain(*(one[kind] for one in passes))),
            raw,
            "≤ 5 ms",
        )
        for kind in asked
    ]
    slowest = {kind: statistics.median(statistics.quantiles(one[kind], n=100)[98] for one in passes) for kind in asked}
    note = ", ".join(f"{kind} {p99:.1f}" for kind, p99 in slowest.items())
    return [*rows, _row("p99 of the slowest kind", max(slowest.values()), raw, "≤ 10 ms") | {"note": note}]


def _row(name: str, ours: float, raw: float, budget: str) -> dict[str, Any]:
    return {"name": name, "ours": ours, "raw": raw, "ratio": ours / raw, "budget": budget, "unit": "ms"}


def _asked(names: Sequence[str], rnd: random.Random) -> dict[str, list[str]]:
    """Texts by kind."""
    wanted = rnd.sample([name for name in names if " " not in name], QUERIES)
    return {
        "part of a name": [name[(at := rnd.randrange(len(name) - 1)) : at + rnd.randint(2, 4)] for name in wanted],
        "name with a wrong letter": [_misspelt(name, rnd) for name in wanted],
        "name in no list": ["".join(rnd.choices(SYLLABLES, k=3)) + rnd.choice(STRANGE) for _ in wanted],
        "question": [f"다 쓴 {name}은 어떻게 버려요?" for name in wanted],
        "question of 200 letters": [LONG.format(name) for name in wanted],
    }


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
        server = conn.info.backend_pid
        for part in parts:
            before = _spent(server)
            conn.execute(SCAN, [f"%{unicodedata.normalize('NFD', part)}%"]).fetchone()
            yield _spent(server) - before


async def _measured(dsn: str, asked: dict[str, list[str]]) -> dict[str, list[float]]:
    """Milliseconds of the server's processor, for each kind of query."""
    database = Database(dsn, size=1)
    await database.open()
    found: dict[str, list[float]] = {}
    try:
        async with database.connection() as conn:
            server = conn.info.backend_pid
            for query in asked["part of a name"]:  # a first time, for caches and plans
                await sql.select_found(conn, words.read(query), 20)
            for kind, queries in asked.items():
                found[kind] = []
                for query in queries:
                    text = words.read(query)
                    before = _spent(server)
                    await sql.select_found(conn, text, 20)
                    found[kind].append(_spent(server) - before)
    finally:
        await database.close()
    return found


def _spent(pid: int) -> float:
    """Milliseconds that a process has run on a processor so far."""
    return int(Path(f"/proc/{pid}/schedstat").read_text("ascii").split()[0]) / 1e6
