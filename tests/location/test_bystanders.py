"""What the SQL changes and what it finds, beside rows that it does not name (tests/bystanders.py)"""

from collections.abc import Awaitable, Callable
from typing import Any

from functions.location import db as location
from shared.db import Database
from tests.bystanders import (
    KEPT,
    NOW,
    PEOPLE,
    TIMES,
    Call,
    Case,
    Read,
    World,
    changes,
    each,
    each_read,
    finds,
    unread,
    without_bystanders,
)


async def of_location(world: World) -> None:
    for who in PEOPLE:
        await world.kept(who)
        for number in (1, 2):
            place = location.Place(world.id(f"{who}-{number}"), who, who, None, None, number == 1, NOW)
            await location.insert_place(world.conn, world.id(who), place)


CASES: list[Case] = [
    (
        "update_place",
        lambda w: location.update_place(w.conn, location.Place(w.id("kim-1"), "new", "new", 1.0, 1.0, False, NOW)),
        {"user_locations kim-1: address, is_default, latitude, longitude, name"},
    ),
    (
        "update_no_default",
        lambda w: location.update_no_default(w.conn, w.id("kim")),
        {"user_locations kim-1: is_default"},
    ),
    ("delete_place", lambda w: location.delete_place(w.conn, w.id("kim-1")), {"user_locations kim-1"}),
    (
        "delete_person",
        lambda w: location.delete_person(w.conn, w.id("kim")),
        {"user_locations kim-1", "user_locations kim-2", KEPT},
    ),
]


@each(CASES)
async def test_a_statement_changes_what_it_names_and_nothing_beside_it(
    call: Call, changed: set[str], db: Callable[[str], Awaitable[Database]]
) -> None:
    assert await changes(await db("location"), of_location, call) == changed


def test_each_statement_that_changes_or_deletes_has_its_bystanders() -> None:
    assert without_bystanders("location", CASES) == {"update_centers"}, "an import writes lists as a whole"


async def places(world: World) -> None:
    for who in PEOPLE:
        for number, at in TIMES.items():
            place = location.Place(world.id(f"{who}-{number}"), who, who, None, None, False, at)
            await location.insert_place(world.conn, world.id(who), place)


async def _of_source(world: World) -> Any:
    for source in ("one", "other"):
        names = [f"{source}-{number}" for number in range(3)]
        ids = [world.id(name) for name in names][::-1]
        nothing = (None,) * 6
        rows = [location.CenterRow(id_, "n", "a", *nothing, [], [], None, None) for id_ in ids]
        await location.insert_centers(world.conn, source, rows)
    return await location.select_rows_of_source(world.conn, "other")


READS: list[Read] = [
    (
        "select_places",
        lambda w: location.select_places(w.conn, w.id("kim"), None, 3),
        ["kim-3", "kim-2", "kim-4"],
    ),
    (
        "select_places",
        lambda w: location.select_places(w.conn, w.id("kim"), (NOW, w.id("kim-3")), 10),
        ["kim-2", "kim-4", "kim-1"],
    ),
    *(
        (one.__name__, lambda w, one=one, who=who: one(w.conn, w.id(who), w.id("kim-1")), found)
        for one in (location.select_place, location.select_place_for_update)
        for who, found in (("kim", "kim-1"), ("lee", None))
    ),
    ("select_rows_of_source", _of_source, ["other-0", "other-1", "other-2"]),
]
# Of centers, which have tests of their own.
CENTERS = {"nearest", "inside", "center", "by_words", "known_word", "similar_words"}


@each_read(READS)
async def test_a_statement_finds_what_it_names_in_its_order_and_nothing_beside_it(
    call: Call, expected: Any, db: Callable[[str], Awaitable[Database]]
) -> None:
    assert await finds(await db("location"), places, call) == expected


def test_each_statement_that_reads_is_looked_at() -> None:
    assert unread("location", READS) == {f"select_{name}" for name in CENTERS}
