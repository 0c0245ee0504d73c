"""Which row of a list is about which center: what is enough to be the same, and what is not"""

from typing import Any

import pytest
from msgspec.structs import replace

from functions.location.db import CenterRow
from functions.location.matching import pair, repeats
from shared.ids import new_id

KNOWN = CenterRow(
    id=new_id(),
    name="행정복지센터",
    address="서울특별시 중구 세종대로 110",
    other_address=None,
    latitude=37.5663,
    longitude=126.9779,
    phone=None,
    phone_note=None,
    operating_hours=None,
    items=[],
    item_names=[],
    source_serial="1",
    source_region="중구",
)
# What another center's row says in each fact; its other number, town, name, place and point.
OTHER: dict[str, dict[str, Any]] = {
    "serial": {"source_serial": "2"},
    "region": {"source_region": "서구"},
    "name": {"name": "재활용센터"},
    "address": {"address": "대구광역시 서구 국채보상로 257"},
    "point": {"latitude": 35.8718, "longitude": 128.5592},
}


def told(*same: str, missing: str = "") -> CenterRow:
    """A row with these facts of the known center, and all others another's; the `missing` one is not told at all."""
    changes: dict[str, Any] = {}
    for fact in OTHER.keys() - set(same):
        changes |= OTHER[fact]
    if missing:
        changes |= dict.fromkeys(OTHER[missing])
    return replace(KNOWN, id=new_id(), **changes)


@pytest.mark.parametrize(
    "same",
    [
        ("name", "address"),
        ("name", "point"),
        ("serial", "name", "region"),
        ("serial", "address"),
        ("serial", "point"),
    ],
    ids=" and ".join,
)
def test_these_facts_together_are_enough_for_the_same_center(same: tuple[str, ...]) -> None:
    assert pair([told(*same)], [KNOWN]) == [KNOWN]


@pytest.mark.parametrize(
    "same",
    [
        ("serial", "name"),
        ("serial", "region"),
        ("name", "region"),
        ("region", "address", "point"),
    ],
    ids=" and ".join,
)
def test_these_are_not(same: tuple[str, ...]) -> None:
    assert pair([told(*same)], [KNOWN]) == [None]


@pytest.mark.parametrize(
    ("same", "missing"), [(("name",), "point"), (("name",), "serial"), (("serial", "name"), "region")]
)
def test_what_neither_tells_is_nothing_in_common(same: tuple[str, ...], missing: str) -> None:
    known = replace(KNOWN, **dict.fromkeys(OTHER[missing]))
    assert pair([told(*same, missing=missing)], [known]) == [None]


def test_the_surer_pair_is_made_first_and_each_center_is_used_once() -> None:
    moved, same = told("name", "point"), told("name", "address", "point")
    assert pair([moved, same, told("name", "point")], [KNOWN]) == [None, KNOWN, None]


def test_two_points_at_one_address_are_two_centers_and_one_without_a_point_is_a_repeat() -> None:
    first, other = told("name", "address", "point"), told("name", "address")
    without = told("name", "address", missing="point")
    assert repeats([first, other, without, first]) == {2: 0, 3: 0}
