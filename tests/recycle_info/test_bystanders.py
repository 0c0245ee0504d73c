"""What the SQL changes and what it finds, beside rows that it does not name (tests/bystanders.py)"""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from functions.recycle_info import db as recycle_info
from shared.db import Database
from shared.ids import first_id
from tests.bystanders import (
    KEPT,
    LONG_AGO,
    NOW,
    PAST,
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


async def searched(world: World) -> None:
    for who in PEOPLE:
        await world.kept(who)
        for number, at in TIMES.items():
            await recycle_info.insert_query(world.conn, world.id(f"{who}-{number}"), world.id(who), who, [], at)


async def _drop_old(world: World) -> None:
    """Of three whose ids are old the second was made just now: the oldest goes first, then what is old, and no more."""
    for number, at in enumerate((LONG_AGO, NOW, LONG_AGO)):
        await recycle_info.insert_query(world.conn, _old(number), world.id("kim"), "", [], at)
    for most, left in ((1, {1, 2}), (10, {1})):
        assert await recycle_info.delete_old_queries(world.conn, PAST, most) == 1
        known = [_old(number) for number in range(3)]
        found = await world.conn.execute("SELECT id FROM user_queries WHERE id = ANY(%s)", [known])
        assert {known.index(id_) for (id_,) in await found.fetchall()} == left


def _old(number: int) -> UUID:
    return UUID(int=first_id(LONG_AGO).int + number)


QUERIES = {f"user_queries kim-{number}" for number in TIMES}
CASES: list[Case] = [
    ("delete_queries", lambda w: recycle_info.delete_queries(w.conn, w.id("kim")), QUERIES),
    ("delete_old_queries", _drop_old, set()),
    ("delete_person", lambda w: recycle_info.delete_person(w.conn, w.id("kim")), QUERIES | {KEPT}),
]
# A load writes all items there are, and leaves no others.
LOADED = {"upsert_category", "upsert_items", "delete_categories", "delete_items"}


@each(CASES)
async def test_a_statement_changes_what_it_names_and_nothing_beside_it(
    call: Call, changed: set[str], db: Callable[[str], Awaitable[Database]]
) -> None:
    assert await changes(await db("recycle-info"), searched, call) == changed


def test_each_statement_that_changes_or_deletes_has_its_bystanders() -> None:
    assert without_bystanders("recycle_info", CASES) == LOADED


READS: list[Read] = [
    (
        "select_queries",
        lambda w: recycle_info.select_queries(w.conn, w.id("kim"), None, 3),
        ["kim-3", "kim-2", "kim-4"],
    ),
    (
        "select_queries",
        lambda w: recycle_info.select_queries(w.conn, w.id("kim"), (NOW, w.id("kim-3")), 10),
        ["kim-2", "kim-4", "kim-1"],
    ),
]
# Of items, which have tests of their own.
ITEMS = {"categories", "items", "item", "found"}


@each_read(READS)
async def test_a_statement_finds_what_it_names_in_its_order_and_nothing_beside_it(
    call: Call, expected: Any, db: Callable[[str], Awaitable[Database]]
) -> None:
    assert await finds(await db("recycle-info"), searched, call) == expected


def test_each_statement_that_reads_is_looked_at() -> None:
    assert unread("recycle_info", READS) == {f"select_{name}" for name in ITEMS}
