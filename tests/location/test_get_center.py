"""One collection center"""

from typing import Any

import httpx

from functions.location.hours_text import compose
from shared.ids import new_id
from tests.location.conftest import CENTERS, LAT, LON, Put, center

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri")


async def test_a_center_has_the_contract_s_fields(location: httpx.AsyncClient, put: Put) -> None:
    hours = compose(dict.fromkeys(WEEKDAYS, "09:00~18:00") | dict.fromkeys(("sat", "sun", "holiday"), "휴무"))
    facts: dict[str, Any] = {"items": ["pet_clear", "metal"], "item_names": ["투명페트병", "캔"], "phone": "02-120"}
    [id_] = await put(center("계약의 예", LAT, LON, operating_hours=hours, **facts))
    answer = await location.get(f"{CENTERS}/{id_}")
    assert answer.json() == {
        "id": str(id_),
        "name": "계약의 예",
        "address": "서울특별시 중구 세종대로 110",
        "latitude": LAT,
        "longitude": LON,
        "operating_hours": hours,
        "phone_note": None,
        "other_address": None,
        **facts,
    }
    again = await location.get(f"{CENTERS}/{id_}", headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status_code == 304


async def test_an_unknown_center_is_not_found(location: httpx.AsyncClient) -> None:
    for path in (f"{CENTERS}/{new_id()}", f"{CENTERS}/none"):
        answer = await location.get(path)
        assert answer.status_code == 404
        assert answer.headers["content-type"].startswith("application/problem+json")
