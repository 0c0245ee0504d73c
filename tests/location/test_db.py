"""Two who change the same places, or centers, at the same time: one waits, and sees what the other has done"""

from collections.abc import Callable, Coroutine
from typing import Any
from uuid import UUID

import httpx
import msgspec
import pytest

from functions.location import db as sql
from functions.location.import_centers import Parsed, load
from functions.location.report import Report
from shared.db import Database
from tests.conftest import Person
from tests.location.conftest import HOME, LAT, LON, PLACES, Put, add, center
from tests.support import held_up

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
    path = f"{PLACES}/{(await add(location, person))['id']}"
    async with database.transaction() as conn:
        await sql.lock_default(conn, person.id)
        second = await held_up(DEFAULT[which](location, path, person.headers), by=conn)
    assert (await second).is_success


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

    async def second() -> Report:
        report = Report()
        async with database.transaction() as conn:
            await load(conn, "test-nothing", Parsed([], [], [], report))
        return report

    async with database.transaction() as conn:
        await sql.lock_centers(conn)
        importing = await held_up(second(), by=conn)
        assert (await location.get(f"/api/v1/locations/centers/{known}")).status_code == 200
    await importing
