"""Two who change the same places, or centers, at the same time: one waits, and sees what the other has done"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import httpx
import msgspec
import pytest

from functions.location import db as sql
from functions.location.import_centers import Parsed, load
from functions.location.report import Report
from functions.location.search_centers import find
from shared import clock
from shared import db as db_module
from shared.db import Connection, Database
from shared.ids import new_id
from tests.conftest import Person
from tests.location.conftest import HOME, LAT, LON, PLACES, Put, add, center
from tests.support import held_up, one_at_a_time, turn_taken

Ask = Callable[[httpx.AsyncClient, str, dict[str, str]], Coroutine[Any, Any, httpx.Response]]
DEFAULT: dict[str, Ask] = {
    "a new one": lambda client, _, who: client.post(PLACES, json=HOME | {"is_default": True}, headers=who),
    "one that is there": lambda client, path, who: client.patch(path, json={"is_default": True}, headers=who),
}
CHANGE: dict[str, Ask] = {
    "change": lambda client, path, who: client.patch(path, json={"name": "mine"}, headers=who),
    "deletion": lambda client, path, who: client.delete(path, headers=who),
}


@pytest.mark.parametrize("which", DEFAULT)
async def test_whoever_sets_a_default_waits_for_who_does(
    location: httpx.AsyncClient, person: Person, database: Database, which: str
) -> None:
    id_ = (await add(location, person))["id"]
    async with database.transaction() as conn:
        await sql.lock_default(conn, person.id)
        second = await held_up(DEFAULT[which](location, f"{PLACES}/{id_}", person.headers), by=conn)
        row = await conn.execute("SELECT FROM user_locations WHERE id = %s FOR UPDATE SKIP LOCKED", [id_])
        assert row.rowcount == 1, "who waits for the turn holds no row meanwhile: two could wait for each other"
    assert (await second).is_success


async def test_of_words_that_one_letter_tells_apart_the_most_alike_come_first(put: Put, database: Database) -> None:
    await put(*(center(name, None, None) for name in ("kolabriplatz", "kolibriplatzz", "finkenplatz", "vk")))
    async with database.transaction() as conn:
        assert await sql.select_similar_words(conn, "kolibriplatz", 5) == ["kolibriplatzz", "kolabriplatz"]
        assert await sql.select_similar_words(conn, "kolibriplatz", 1) == ["kolibriplatzz"]
        assert await sql.select_similar_words(conn, "qk", 5) == [], "of two letters one is no likeness"


async def test_where_the_likeliest_word_leads_nowhere_the_next_ones_are_tried(put: Put, database: Database) -> None:
    await put(*(center(name, None, None) for name in ("kolibribrg oststadt", "kolabriberg weststadt")))
    found = await find(database, "kolibriberg weststadt", 5)
    assert [one.name for one in found] == ["kolabriberg weststadt"]


@asynccontextmanager
async def version_before(database: Database, user_id: UUID) -> AsyncIterator[Connection]:
    """0.1.0 in the middle of making another place the default: it takes turns by a lock of its own."""
    async with database.transaction() as conn:
        await conn.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s::text, 3))", [user_id])
        await sql.update_no_default(conn, user_id)
        await sql.insert_place(conn, user_id, sql.Place(new_id(), "theirs", "there", None, None, True, clock.now()))
        yield conn


@pytest.mark.parametrize("which", DEFAULT)
async def test_whoever_sets_a_default_waits_for_the_version_before(
    location: httpx.AsyncClient, person: Person, database: Database, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    """While a rolling deploy replaces 0.1.0 both take turns with each other, and neither meets the other's default."""
    monkeypatch.setattr(db_module, "MOMENT", 600.0)
    path = f"{PLACES}/{(await add(location, person))['id']}"
    async with version_before(database, person.id):
        second = asyncio.create_task(DEFAULT[which](location, path, person.headers))
        await turn_taken(database)
    assert (await second).is_success
    places = (await location.get(PLACES, headers=person.headers)).json()["items"]
    assert {one["name"]: one["is_default"] for one in places if one["name"] == "theirs"} == {"theirs": False}
    assert [one["is_default"] for one in places].count(True) == 1


@pytest.mark.parametrize("which", DEFAULT)
async def test_a_turn_that_the_version_before_keeps_is_not_waited_for(
    location: httpx.AsyncClient, person: Person, database: Database, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    """Its lock is a number that any role could hold. Who then meets another default is told to come again."""
    monkeypatch.setattr(db_module, "MOMENT", 0.0)
    path = f"{PLACES}/{(await add(location, person))['id']}"
    async with version_before(database, person.id) as conn:
        second = await held_up(DEFAULT[which](location, path, person.headers), by=conn)
    answer = await second
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:eco2:busy")
    assert (await DEFAULT[which](location, path, person.headers)).is_success


@pytest.mark.parametrize("what", CHANGE)
async def test_a_place_that_changes_meanwhile_is_not_what_the_condition_names(
    location: httpx.AsyncClient, person: Person, database: Database, what: str
) -> None:
    id_ = UUID((await add(location, person))["id"])
    path = f"{PLACES}/{id_}"
    etag = (await location.get(path, headers=person.headers)).headers["etag"]
    async with database.transaction() as conn:
        place = await sql.select_place_for_update(conn, person.id, id_)
        assert place is not None
        second = await held_up(CHANGE[what](location, path, person.headers | {"If-Match": etag}), by=conn)
        await sql.update_place(conn, msgspec.structs.replace(place, name="theirs"))
    assert (await second).status_code == 412
    assert (await location.get(path, headers=person.headers)).json()["name"] == "theirs"


async def test_an_import_waits_for_the_one_before_it_and_readers_for_neither(
    location: httpx.AsyncClient, database: Database, put: Put
) -> None:
    [known] = await put(center("here", LAT, LON))

    async def limits(conn: Connection) -> list[str]:
        cursor = await conn.execute("SELECT current_setting('lock_timeout'), current_setting('statement_timeout')")
        return list(*await cursor.fetchall())

    async def second() -> Report:
        report = Report()
        async with database.transaction() as conn:
            await load(conn, "test-nothing", Parsed([], [], [], report))
            assert await limits(conn) == ["10min", "10min"], "the one before may have a large file, and so may this one"
        async with database.transaction() as conn:
            assert "10min" not in await limits(conn)
        return report

    async with database.transaction() as conn:
        await sql.lock_centers(conn)
        importing = await held_up(second(), by=conn)
        assert (await location.get(f"/api/v1/locations/centers/{known}")).status_code == 200
    await importing


async def test_a_place_is_added_once_however_often_it_is_sent_at_the_same_instant(
    location: httpx.AsyncClient, person: Person, database: Database
) -> None:
    await one_at_a_time(location, database, person.id, person.headers, "POST", PLACES, HOME)
    assert (await location.get(PLACES, headers=person.headers)).json()["items"] == []


async def test_what_is_planned_with_its_values_is_never_prepared(database: Database) -> None:
    """A plan for all values knows neither the limit nor which filters are none: it reads the whole table."""
    words = ["%aaaa%", "%bbbb%", "%cccc%"]
    async with database.transaction() as conn:
        for _ in range(12):
            await sql.select_nearest(conn, LAT, LON, 100.0, sql.Wanted(), 1)
            await sql.select_inside(conn, (LON, LAT, LON + 0.1, LAT + 0.1), sql.Wanted(), 1)
            for count in (1, 3):
                await sql.select_by_words(conn, "a", words[:count], 1)
            await sql.select_known_word(conn, "aaaa", "%aaaa%")
            await sql.select_similar_words(conn, "aaaa", 1)
        cur = await conn.execute(
            "SELECT statement FROM pg_prepared_statements WHERE statement ~ 'recycle_centers|center_words'"
        )
        assert await cur.fetchall() == []


async def test_what_the_planner_is_forbidden_for_one_search_it_may_again_afterwards(database: Database) -> None:
    switches = ("enable_bitmapscan", "enable_sort", "enable_seqscan")

    async def off(conn: Connection) -> set[str]:
        cur = await conn.execute("SELECT name, setting FROM pg_settings WHERE name = ANY(%s)", [list(switches)])
        return {name for name, setting in await cur.fetchall() if setting == "off"}

    async with database.transaction() as conn:
        await sql.select_inside(conn, (LON, LAT, LON + 0.1, LAT + 0.1), sql.Wanted(), 1)
        assert await off(conn) == {"enable_bitmapscan", "enable_sort"}
    async with database.transaction() as conn:
        await sql.select_similar_words(conn, "aaaa", 1)
        assert await off(conn) == {"enable_seqscan"}
    async with database.connection() as conn:
        assert await off(conn) == set()
