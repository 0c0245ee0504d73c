"""The 10 nearest of 1,000,000 centers in PostgreSQL and by HTTP, beside a full scan; and the search in 100,000 names.

Times of the nearest are planning and execution as PostgreSQL reports them, and the wall clock by HTTP; those of searches
the CPU time of the server's process, because a search is several statements.
The exactness of the order is checked against the full scan at every point measured.
"""

import asyncio
import json
import random
import statistics
import time
import unicodedata
from collections.abc import Iterator
from typing import Any

import psutil
import psycopg

from emulator.servers.postgres import Postgres
from functions.location import db as sql
from functions.location.regions import PROVINCES
from functions.location.search_centers import find
from shared.db import Database
from tests.bench._load import free_port, request, send, server
from tests.bench._system import system

POINTS = 1_000_000
NAMES = 100_000
ROUNDS = 200
SCANS = 5
# Searches are run so often: a process's CPU time is counted in steps of 10 ms.
REPEATS = 5
# The corners of the peninsula's southern half; the points are as dense in the sea, which changes nothing.
SOUTH, NORTH, WEST, EAST = 33.2, 38.5, 126.1, 129.4

OURS = """
import os, sys
os.environ["PORT"] = sys.argv[1]
from runtime.http.host import run
sys.exit(run(["location"]))
"""


def run() -> list[dict[str, Any]]:
    with system() as (environment, postgres, _):
        return [*nearest(environment, postgres), *search(environment, postgres)]


def nearest(environment: dict[str, str], postgres: Postgres) -> Iterator[dict[str, Any]]:
    _fill_with_points(postgres)
    rnd = random.Random(1)
    places = [(rnd.uniform(SOUTH, NORTH), rnd.uniform(WEST, EAST)) for _ in range(ROUNDS)]
    with psycopg.connect(environment["API_LOCATIONS_DB_URL"], autocommit=True) as conn:
        conn.execute("SET statement_timeout = 0")
        indexed, found = zip(*(_measured(conn, place) for place in places), strict=True)
        conn.execute("SET enable_indexscan = off")
        conn.execute("SET enable_bitmapscan = off")
        scanned, expected = zip(*(_measured(conn, place) for place in places[:SCANS]), strict=True)
        if list(found[:SCANS]) != list(expected):
            raise RuntimeError("the index does not give the nearest in their order")
    yield _row("10 nearest of 1,000,000, PostgreSQL", indexed, statistics.median(scanned), 1.0)
    port = free_port()
    with server(OURS, port, environment):
        spent = []
        for latitude, longitude in places:
            path = f"/api/v1/locations/centers?lat={latitude}&lon={longitude}&limit=10"
            begin = time.perf_counter()
            send(port, request("GET", path), 1)
            spent.append((time.perf_counter() - begin) * 1000)
    yield _row("10 nearest of 1,000,000, HTTP", spent[10:], statistics.median(scanned), 5.0)


def _row(name: str, spent: Any, raw: float, budget: float) -> dict[str, Any]:
    ours = statistics.median(spent)
    return {
        "name": name,
        "ours": ours,
        "raw": raw,
        "ratio": ours / raw,
        "budget": f"≤ {budget:g} ms",
        "unit": "ms",
        "note": f"p99 {statistics.quantiles(spent, n=100)[98]:.2f} ms",
    }


def _fill_with_points(postgres: Postgres) -> None:
    with psycopg.connect(postgres.dsn("postgres"), autocommit=True) as conn:
        # The names are not words, so the triggers that collect words are left out.
        conn.execute("SET session_replication_role = replica")
        conn.execute("SELECT setseed(0.5)")
        conn.execute(
            "INSERT INTO locations.recycle_centers (id, name, address, latitude, longitude)"
            " SELECT gen_random_uuid(), 'x', 'x', %s + random() * %s, %s + random() * %s FROM generate_series(1, %s)",
            [SOUTH, NORTH - SOUTH, WEST, EAST - WEST, POINTS],
        )
        conn.execute("VACUUM (ANALYZE) locations.recycle_centers")


def _measured(conn: psycopg.Connection[Any], place: tuple[float, float]) -> tuple[float, list[Any]]:
    """Milliseconds in the server, and the ids found."""
    values = {"lat": place[0], "lon": place[1], "radius": 50_000.0, "true": sql.TRUE_RADIUS, "limit": 10}
    values |= sql.Wanted().parameters()
    ids = [row[0] for row in conn.execute(sql.NEAREST, values, prepare=False).fetchall()]
    row = conn.execute(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {sql.NEAREST}", values, prepare=False).fetchone()
    assert row is not None
    plan = row[0][0] if isinstance(row[0], list) else json.loads(row[0])[0]
    return plan["Planning Time"] + plan["Execution Time"], ids


def search(environment: dict[str, str], postgres: Postgres) -> Iterator[dict[str, Any]]:
    names = list(_names())
    with psycopg.connect(postgres.dsn("postgres"), autocommit=True) as conn:
        conn.execute("TRUNCATE locations.recycle_centers")
        with conn.cursor().copy("COPY locations.recycle_centers (id, name, address) FROM STDIN") as copy:
            for number, name in enumerate(names):
                copy.write_row((f"00000000-0000-4000-8000-{number:012x}", name, "-"))
        conn.execute("VACUUM (ANALYZE) locations.recycle_centers, locations.center_words")
    rnd = random.Random(2)
    wanted = rnd.sample(names, 60)
    # Two syllables and more from inside a name; and a whole name with one letter of one syllable wrong.
    parts = [name[(at := rnd.randrange(len(name) - 2)) : at + rnd.randint(2, 4)].strip() for name in wanted]
    typos = [_misspelt(name, rnd) for name in wanted]
    asyncio.run(_searched(environment, parts[:10], {}))  # a first time, for caches
    plain, _ = asyncio.run(_searched(environment, parts, {}))
    wrong, hits = asyncio.run(_searched(environment, typos, dict(zip(typos, wanted, strict=True))))
    with psycopg.connect(environment["API_LOCATIONS_DB_URL"], autocommit=True) as conn:
        conn.execute("SET enable_bitmapscan = off")
        backend = psutil.Process(conn.info.backend_pid)
        before = _cpu(backend)
        for part in parts[:SCANS]:
            pattern = f"%{unicodedata.normalize('NFD', part)}%"
            conn.execute("SELECT count(*) FROM recycle_centers WHERE search_text LIKE %s", [pattern]).fetchone()
        raw = (_cpu(backend) - before) / SCANS
    for name, ours, note in (
        ("substring in 100,000 names, PostgreSQL", plain, None),
        ("typing error in 100,000 names, PostgreSQL", wrong, f"{hits} of {len(typos)} misspelt names found again"),
    ):
        row = {
            "name": name,
            "ours": ours,
            "raw": raw,
            "ratio": ours / raw,
            "budget": "≤ 5 ms",
            "unit": "ms CPU a search",
        }
        yield row | ({"note": note} if note else {})


def _cpu(process: psutil.Process) -> float:
    """Milliseconds of CPU time spent so far."""
    times = process.cpu_times()
    return (times.user + times.system) * 1000


def _names() -> Iterator[str]:
    """Names as centers have them: a place and a kind."""
    rnd = random.Random(3)
    syllables = (
        "가강거건경고곡공관광구군금기김나남내노논능다달당대덕도동두매면명모목무문미반방배백범법봉부"
        "북사산삼상서석선성세소송수순승시신안양여연영오옥온완왕용우운원월유율은의이인임자장재전정제"
        "조주중지진창천청초춘충칠탄태파팔평포풍하학한해현호홍화황회효흥"
    )
    kinds = [
        "행정복지센터",
        "주민센터",
        "공원",
        "아파트",
        "자원순환가게",
        "초등학교",
        "도서관",
        "체육관",
        "전통시장",
        "경로당",
    ]
    towns = [town for province in PROVINCES for town in sorted(province.towns)]
    for _ in range(NAMES):
        place = "".join(rnd.choices(syllables, k=rnd.choice((2, 2, 3))))
        yield rnd.choice((f"{place}동 {rnd.choice(kinds)}", f"{rnd.choice(towns)} {place}{rnd.choice(kinds)}"))


def _misspelt(name: str, rnd: random.Random) -> str:
    """One letter of one syllable replaced by another."""
    while True:
        at = rnd.randrange(len(name))
        letters = list(unicodedata.normalize("NFD", name[at]))
        if len(letters) < 2:
            continue
        which = rnd.randrange(len(letters))
        first, last = ((0x1100, 0x1112), (0x1161, 0x1175), (0x11A8, 0x11C2))[which]
        letters[which] = chr(rnd.randint(first, last))
        wrong = name[:at] + unicodedata.normalize("NFC", "".join(letters)) + name[at + 1 :]
        if wrong != name:
            return wrong


async def _searched(environment: dict[str, str], queries: list[str], wanted: dict[str, str]) -> tuple[float, int]:
    """The server's CPU time for one search, and how many found what was wanted among the first 20."""
    database = Database(environment["API_LOCATIONS_DB_URL"], size=1)
    await database.open()
    hits = 0
    try:
        async with database.connection() as conn:
            backend = psutil.Process(conn.info.backend_pid)
        before = _cpu(backend)
        for query in queries * REPEATS:
            found = await find(database, query, 20)
            hits += wanted.get(query) in [center.name for center in found]
        spent = (_cpu(backend) - before) / (len(queries) * REPEATS)
    finally:
        await database.close()
    return spent, hits // REPEATS
