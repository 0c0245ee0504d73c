"""What the SQL changes, beside rows that it does not name (tests/bystanders.py)"""

from collections.abc import Awaitable, Callable

from functions.location import db as location
from shared.db import Database
from tests.bystanders import KEPT, NOW, PEOPLE, Call, Case, World, changes, each, without_bystanders


async def of_location(world: World) -> None:
    for who in PEOPLE:
        await world.kept(who)
        for number in (1, 2):
            place = location.Place(world.id(f"{who}-{number}"), who, who, None, None, number == 1, NOW)
            await location.insert_place(world.conn, world.id(who), place)


CASES: list[Case] = [
    (
        "update_place",
        lambda w: location.update_place(w.conn, location.Place(w.id("kim-2"), "new", "new", 1.0, 1.0, False, NOW)),
        {"user_locations kim-2"},
    ),
    ("update_no_default", lambda w: location.update_no_default(w.conn, w.id("kim")), {"user_locations kim-1"}),
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
