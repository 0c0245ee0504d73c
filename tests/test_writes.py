"""What is written over holds all that is new: each statement that changes a row is given one that differs in every field."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
import pytest
from msgspec import Struct

from functions.location import db as location
from functions.recycle_info import db as recycle_info
from functions.userinfo import db as userinfo
from shared import clock
from shared.db import Connection, Database
from shared.ids import new_id

Write = Callable[[Connection, Any], Awaitable[Any]]
Read = Callable[[Connection, Any], Awaitable[Any]]
ID, NOW = new_id(), clock.now()


class Undone(Exception):
    """What the test wrote is no one else's."""


class Case(Struct, frozen=True):
    """How a row is written first and over, how it is read back, and two rows of which only the `same` fields are alike."""

    name: str
    service: str
    first: Any
    second: Any
    insert: Write
    update: Write
    read: Read
    same: Sequence[str] = ("id",)


async def of_source(conn: Connection, _: Any) -> Any:
    (found,) = await location.select_rows_of_source(conn, "a test's")
    return found


async def category_of(conn: Connection, wanted: recycle_info.Category) -> Any:
    found = {one.category: one for one in await recycle_info.select_categories(conn)}[wanted.category]
    return msgspec.structs.replace(found, count=wanted.count)


SAID = [{"dirty": {"ko": f"{word} 버립니다.", "en": f"{word} it."}} for word in ("씻어", "닦아")]
SOURCE = [{name: f"{name} {number}" for name in ("title", "title_en", "publisher", "date")} for number in (1, 2)]


def item(number: int) -> recycle_info.Item:
    """An item all of whose texts have a number."""
    texts = {
        one.name: f"{one.name} {number}" for one in msgspec.structs.fields(recycle_info.Item) if "str" in str(one.type)
    }
    lists = {one: [f"{one} {number}"] for one in ("images", "synonyms", "synonyms_en", "bins")}
    said: dict[str, Any] = {"exceptions": SAID[number], "answers": SAID[1 - number], "source": SOURCE[number]}
    return msgspec.convert(texts | lists | said | {"id": ID, "slug": f"a-test-s-{number}"}, recycle_info.Item)


def center(number: int) -> location.CenterRow:
    hours = {day: [[f"0{number}:00", "18:00"]] for day in ("mon", "tue")}
    return location.CenterRow(
        ID, f"이름 {number}", f"주소 {number}", f"지번 {number}", 37.0 + number, 127.0 + number, f"02-000-000{number}",
        f"전화 {number}", hours, [("glass", "paper")[number]], [f"품목 {number}"], f"번호 {number}", f"지역 {number}",
    )  # fmt: skip


def category(number: int) -> recycle_info.Category:
    texts = (f"{one} {number}" for one in ("ko", "en", "how", "do not", "how_en", "do_not_en"))
    ko, en, *rules = texts
    return recycle_info.Category("paper", ko, en, number, *rules)


def place(number: int) -> location.Place:
    return location.Place(ID, f"집 {number}", f"주소 {number}", 37.0 + number, 127.0 + number, bool(number), NOW)


async def upsert_settings(conn: Connection, given: userinfo.Settings) -> None:
    await userinfo.upsert_settings(conn, ID, given)


CASES = [
    Case(
        "items",
        "recycle-info",
        item(0),
        item(1),
        lambda conn, row: recycle_info.upsert_items(conn, [row]),
        lambda conn, row: recycle_info.upsert_items(conn, [row]),
        lambda conn, row: recycle_info.select_item(conn, row.id),
    ),
    Case(
        "centers",
        "location",
        center(0),
        center(1),
        lambda conn, row: location.insert_centers(conn, "a test's", [row]),
        lambda conn, row: location.update_centers(conn, [row]),
        of_source,
    ),
    Case(
        "a place",
        "location",
        place(0),
        place(1),
        lambda conn, row: location.insert_place(conn, ID, row),
        location.update_place,
        lambda conn, row: location.select_place(conn, ID, row.id),
        same=["id", "created_at"],
    ),
    Case(
        "settings",
        "userinfo",
        userinfo.Settings(),
        userinfo.Settings(False, "en", "dark"),
        upsert_settings,
        upsert_settings,
        lambda conn, row: userinfo.select_settings(conn, ID),
        same=[],
    ),
]


@pytest.mark.parametrize("given", CASES, ids=lambda given: given.name)
async def test_a_row_that_is_written_over_is_the_new_one_in_every_field(
    given: Case, db: Callable[[str], Awaitable[Database]]
) -> None:
    one, other = msgspec.structs.asdict(given.first), msgspec.structs.asdict(given.second)
    assert [name for name in one if one[name] == other[name]] == list(given.same)
    with pytest.raises(Undone):
        async with (await db(given.service)).transaction() as conn:
            await given.insert(conn, given.first)
            await given.update(conn, given.second)
            found = await given.read(conn, given.second)
            assert msgspec.to_builtins(found) | {"created_at": 0} == msgspec.to_builtins(given.second) | {
                "created_at": 0
            }
            raise Undone


FIELDS = [one.name for one in msgspec.structs.fields(recycle_info.Category) if one.name not in ("category", "count")]


@pytest.mark.parametrize("changed", FIELDS)
async def test_a_category_is_written_over_whatever_of_it_has_changed(
    changed: str, db: Callable[[str], Awaitable[Database]]
) -> None:
    new = msgspec.structs.replace(category(0), **{changed: "새 글"})
    with pytest.raises(Undone):
        async with (await db("recycle-info")).transaction() as conn:
            await recycle_info.upsert_category(conn, category(0), 1)
            await recycle_info.upsert_category(conn, new, 1)
            assert await category_of(conn, new) == new
            raise Undone
