"""The collection centers near a point or on a map"""

import math
import random
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from functions.location.hours_text import compose
from tests.location.conftest import CENTERS, LAT, LON, Put, center


def haversine(lat: float, lon: float, other_lat: float, other_lon: float) -> float:
    """Metres on a sphere of the earth's mean radius."""
    a, b, c, d = map(math.radians, (lat, lon, other_lat, other_lon))
    half = math.sin((c - a) / 2) ** 2 + math.cos(a) * math.cos(c) * math.sin((d - b) / 2) ** 2
    return 2 * 6_371_008.8 * math.asin(math.sqrt(half))


async def near(client: httpx.AsyncClient, **params: Any) -> list[str]:
    answer = await client.get(CENTERS, params={"lat": LAT, "lon": LON} | params)
    assert answer.status_code == 200, answer.text
    return [item["name"] for item in answer.json()["items"]]


async def test_the_nearest_come_first_by_great_circle_and_not_by_degrees(location: httpx.AsyncClient, put: Put) -> None:
    # At this latitude 0.0100° of longitude is 930 m, and 0.0090° of latitude 1,001 m.
    await put(center("동쪽", LAT, LON + 0.0100), center("북쪽", LAT + 0.0090, LON), center("여기", LAT, LON))
    answer = (await location.get(CENTERS, params={"lat": LAT, "lon": LON})).json()
    assert [item["name"] for item in answer["items"]] == ["여기", "동쪽", "북쪽"]
    for item in answer["items"]:
        expected = haversine(LAT, LON, item["latitude"], item["longitude"])
        assert item["distance_m"] == pytest.approx(expected, abs=0.11)
    assert (answer["truncated"], answer["next_cursor"]) == (False, None)


async def test_the_order_is_exact_for_many_points(location: httpx.AsyncClient, put: Put) -> None:
    rnd = random.Random(7)
    rows = [center(str(n), LAT + rnd.uniform(-0.3, 0.3), LON + rnd.uniform(-0.3, 0.3)) for n in range(400)]
    await put(*rows)
    wanted = sorted(rows, key=lambda row: haversine(LAT, LON, row.latitude or 0, row.longitude or 0))
    assert await near(location, radius_m=50_000, limit=100) == [row.name for row in wanted[:100]]


async def test_of_centers_at_one_point_the_same_ones_come_each_time(location: httpx.AsyncClient, put: Put) -> None:
    rows = sorted((center(str(n), LAT, LON) for n in range(8)), key=lambda row: row.id, reverse=True)
    await put(*rows)
    wanted = [row.name for row in reversed(rows)]
    for limit in (1, 3, 8):
        assert await near(location, limit=limit) == wanted[:limit]


async def test_the_radius_and_the_limit_bound_the_list(location: httpx.AsyncClient, put: Put) -> None:
    await put(*(center(f"{km} km", LAT + km / 111.195, LON) for km in (1, 4.9, 5.1, 20, 49.9)))
    assert await near(location) == ["1 km", "4.9 km"]
    assert await near(location, radius_m=5200) == ["1 km", "4.9 km", "5.1 km"]
    assert await near(location, radius_m=50_000, limit=2) == ["1 km", "4.9 km"]
    for limit, truncated in ((4, True), (5, False)):
        answer = await location.get(CENTERS, params={"lat": LAT, "lon": LON, "radius_m": 50_000, "limit": limit})
        assert answer.json()["truncated"] is truncated


async def test_a_center_without_coordinates_is_near_nothing(location: httpx.AsyncClient, put: Put) -> None:
    await put(center("어디에도", None, None))
    assert await near(location, radius_m=50_000) == []


async def test_the_smallest_numbers_are_numbers_too(location: httpx.AsyncClient) -> None:
    for params in ({"lat": "5e-324", "lon": "-5e-324"}, {"lat": "33", "lon": "127", "radius_m": "5e-324"}):
        answer = await location.get(CENTERS, params=params)
        assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({}, "lat"),
        ({"lat": "33"}, "lon"),
        ({"lat": "91", "lon": "127"}, "lat"),
        ({"lat": "nan", "lon": "127"}, "lat"),
        ({"lat": "33", "lon": "inf"}, "lon"),
        ({"lat": "33", "lon": "127", "radius_m": "50001"}, "radius_m"),
        ({"lat": "33", "lon": "127", "radius_m": "0"}, "radius_m"),
        ({"lat": "33", "lon": "127", "limit": "101"}, "limit"),
        ({"lat": "33", "lon": "127", "limit": "0"}, "limit"),
        ({"lat": "33", "lon": "127", "open_at": "soon"}, "open_at"),
        ({"lat": "33", "lon": "127", "open_at": "2026-01-02T03:04:05"}, "open_at"),
        ({"lat": "33", "lon": "127", "open_at": "1605-01-02T03:04:05Z"}, "open_at"),
        ({"lat": "33", "lon": "127", "item": ""}, "item"),
        ({"lat": "33", "lon": "127", "item": "a\0b"}, "item"),
        ({"lat": "33", "lon": "127", "bbox": "126,37,127,38"}, "lat"),
        ({"lon": "0", "bbox": "-1,-1,1,1"}, "lon"),
        ({"radius_m": "5", "bbox": "126,37,127,38"}, "radius_m"),
        ({"bbox": ""}, "bbox"),
        ({"bbox": "126,37,127"}, "bbox"),
        ({"bbox": "126,37,127,38,39"}, "bbox"),
        ({"bbox": "a,b,c,d"}, "bbox"),
        ({"bbox": "nan,37,127,38"}, "bbox"),
        ({"bbox": "127,37,126,38"}, "bbox"),
        ({"bbox": "126,38,127,37"}, "bbox"),
        ({"bbox": "126,37,126,38"}, "bbox"),
        ({"bbox": "37,126,38,127"}, "bbox"),
        ({"bbox": "126,37,181,38"}, "bbox"),
    ],
)
async def test_a_wrong_parameter_is_named(location: httpx.AsyncClient, params: dict[str, str], field: str) -> None:
    answer = await location.get(CENTERS, params=params)
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [field]


async def test_a_map_view_holds_what_lies_inside(location: httpx.AsyncClient, put: Put) -> None:
    await put(center("안", LAT, LON), center("밖", LAT, LON + 0.2), center("없는 곳", None, None))
    box = f"{LON - 0.1},{LAT - 0.1},{LON + 0.1},{LAT + 0.1}"
    answer = (await location.get(CENTERS, params={"bbox": box})).json()
    assert [(item["name"], item["distance_m"]) for item in answer["items"]] == [("안", None)]
    assert answer["truncated"] is False
    nothing = (await location.get(CENTERS, params={"bbox": "10.1,10.1,10.2,10.2"})).json()
    assert (nothing["items"], nothing["truncated"]) == ([], False)


async def test_a_crowded_map_view_is_cut_off_around_its_middle(location: httpx.AsyncClient, put: Put) -> None:
    await put(*(center(str(n), LAT + n / 10_000, LON) for n in range(600)))
    box = f"{LON - 0.1},{LAT - 0.1},{LON + 0.1},{LAT + 0.1}"
    answer = (await location.get(CENTERS, params={"bbox": box})).json()
    assert [item["name"] for item in answer["items"]] == [str(n) for n in range(500)]
    assert answer["truncated"] is True
    few = (await location.get(CENTERS, params={"bbox": box, "limit": 3})).json()
    assert [item["name"] for item in few["items"]] == ["0", "1", "2"]


async def test_centers_at_one_address_come_in_the_same_order_however_many_are_asked_for(
    location: httpx.AsyncClient, put: Put
) -> None:
    rows = [center(str(n), LAT, LON) for n in range(40)]
    random.Random(7).shuffle(rows)
    await put(*rows)
    ids = sorted(str(row.id) for row in rows)
    for where in ({"bbox": f"{LON - 0.1},{LAT - 0.1},{LON + 0.1},{LAT + 0.1}"}, {"lat": LAT, "lon": LON}):
        for limit in (1, 7, 40):
            found = (await location.get(CENTERS, params=where | {"limit": limit})).json()["items"]
            assert [item["id"] for item in found] == ids[:limit]


async def test_only_centers_that_take_the_item_are_found(location: httpx.AsyncClient, put: Put) -> None:
    await put(
        center("페트", LAT, LON, items=["pet_clear"], item_names=["투명페트병"]),
        center("캔", LAT, LON + 0.001, items=["metal"], item_names=["캔"]),
        center("기름", LAT, LON + 0.002, items=[], item_names=["폐식용유"]),
    )
    assert await near(location, item="pet_clear") == ["페트"]
    assert await near(location, item="투명패트병") == ["페트"]
    assert await near(location, item="metal") == ["캔"]
    assert await near(location, item="폐식용유") == ["기름"]
    assert await near(location, item="battery") == []
    box = f"{LON - 0.1},{LAT - 0.1},{LON + 0.1},{LAT + 0.1}"
    inside = (await location.get(CENTERS, params={"bbox": box, "item": "metal"})).json()["items"]
    assert [item["name"] for item in inside] == ["캔"]


# 2026-07-06 is a Monday, 2026-08-15 Liberation Day and a Saturday, 2026-08-17 (a Monday) its substitute.
@pytest.mark.parametrize(
    ("texts", "at", "is_open"),
    [
        ({"mon": "09:00~18:00"}, "2026-07-06T09:00:00+09:00", True),
        ({"mon": "09:00~18:00"}, "2026-07-06T17:59:59+09:00", True),
        ({"mon": "09:00~18:00"}, "2026-07-06T18:00:00+09:00", False),
        ({"mon": "09:00~18:00"}, "2026-07-06T08:59:59+09:00", False),
        ({"mon": "09:00~18:00"}, "2026-07-06T00:00:00Z", True),
        ({"mon": "09:00~18:00"}, "2026-07-07T09:00:00+09:00", False),
        ({"mon": "09:00~12:00, 13:00~18:00"}, "2026-07-06T12:30:00+09:00", False),
        ({"mon": "휴무"}, "2026-07-06T12:00:00+09:00", False),
        ({"mon": "상시"}, "2026-07-06T23:59:59+09:00", True),
        ({"mon": "문의"}, "2026-07-06T12:00:00+09:00", False),
        ({}, "2026-07-06T12:00:00+09:00", False),
        # Past midnight: Monday's span runs into Tuesday, and Sunday's is not there on Monday.
        ({"mon": "22:00~02:00"}, "2026-07-06T22:30:00+09:00", True),
        ({"mon": "22:00~02:00"}, "2026-07-07T01:59:00+09:00", True),
        ({"mon": "22:00~02:00"}, "2026-07-07T02:00:00+09:00", False),
        ({"mon": "22:00~02:00"}, "2026-07-06T01:00:00+09:00", False),
        ({"mon": "18:00~24:00"}, "2026-07-07T00:00:00+09:00", False),
        # Public holidays, substitutes included, and their nights.
        ({"sat": "09:00~18:00", "holiday": "휴무"}, "2026-08-15T12:00:00+09:00", False),
        ({"mon": "09:00~18:00", "holiday": "휴무"}, "2026-08-17T12:00:00+09:00", False),
        ({"mon": "휴무", "holiday": "10:00~12:00"}, "2026-08-17T11:00:00+09:00", True),
        ({"holiday": "22:00~02:00"}, "2026-08-18T01:00:00+09:00", True),
        ({"mon": "22:00~02:00"}, "2026-08-18T01:00:00+09:00", False),
        # The first and third Monday.
        ({"mon": "10:00~12:00 (1,3주)"}, "2026-07-06T11:00:00+09:00", True),
        ({"mon": "10:00~12:00 (1,3주)"}, "2026-07-13T11:00:00+09:00", False),
        ({"mon": "10:00~12:00 (1,3주)"}, "2026-07-20T11:00:00+09:00", True),
        ({"mon": "22:00~02:00 (1,3주)"}, "2026-07-14T01:00:00+09:00", False),
        ({"mon": "22:00~02:00 (1,3주)"}, "2026-07-07T01:00:00+09:00", True),
    ],
)
async def test_a_center_is_found_when_it_is_open_in_korean_time(
    location: httpx.AsyncClient, put: Put, texts: dict[str, str], at: str, is_open: bool
) -> None:
    await put(center("시간", LAT, LON, operating_hours=compose(texts)))
    assert await near(location, open_at=at) == (["시간"] if is_open else [])
    box = f"{LON - 0.1},{LAT - 0.1},{LON + 0.1},{LAT + 0.1}"
    inside = await location.get(CENTERS, params={"bbox": box, "open_at": at})
    assert len(inside.json()["items"]) == is_open


async def test_a_plus_sign_that_was_not_escaped_still_reads_as_one(location: httpx.AsyncClient, put: Put) -> None:
    await put(center("시간", LAT, LON, operating_hours=compose({"mon": "09:00~18:00"})))
    address = f"{CENTERS}?lat={LAT}&lon={LON}&open_at="
    for text in ("2026-07-06T09:00:00+09:00", quote("2026-07-06T09:00:00+09:00", safe="")):
        assert len((await location.get(address + text)).json()["items"]) == 1


async def test_centers_are_public(location: httpx.AsyncClient) -> None:
    for path in (f"{CENTERS}?lat=37&lon=127", f"{CENTERS}?bbox=126,37,127,38", f"{CENTERS}/search?q=가"):
        assert (await location.get(path)).status_code == 200
