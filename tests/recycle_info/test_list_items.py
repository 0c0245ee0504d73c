"""GET /items"""

import base64
from typing import Any

import httpx
import pytest

from tests import items
from tests.recycle_info.conftest import PREFIX, get

# A cursor as this list gives them, but of a name that no row can have: ["\0", an id].
NUL = base64.urlsafe_b64encode(b'["\\u0000","00000000-0000-0000-0000-000000000000"]').decode().rstrip("=")


async def test_items_are_listed_by_name_to_the_last_one(client: httpx.AsyncClient) -> None:
    names: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = await get(client, "/items", limit=50, **cursor)
        names += [item["name"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert names == sorted(names)
    assert len(names) == len(set(names)) == sum(len(file.items) for file in items.files())


async def test_a_category_holds_its_items_alone(client: httpx.AsyncClient) -> None:
    page = await get(client, "/items", category="battery", limit=100)
    assert {item["category"] for item in page["items"]} == {"battery"}
    assert "건전지" in [item["name"] for item in page["items"]]


@pytest.mark.parametrize(
    "query", [{"category": "unknown"}, {"limit": 0}, {"limit": 101}, {"cursor": "x"}, {"cursor": NUL}]
)
async def test_a_bad_list_is_400_and_named(client: httpx.AsyncClient, query: dict[str, Any]) -> None:
    answer = await client.get(f"{PREFIX}/items", params=query)
    assert answer.status_code == 400, answer.text
    assert [error["field"] for error in answer.json()["errors"]] == list(query)


async def test_a_category_is_listed_to_the_last_item(client: httpx.AsyncClient) -> None:
    page = await get(client, "/items", category="general", limit=100)
    names = [item["name"] for item in page["items"]]
    while page["next_cursor"]:
        page = await get(client, "/items", category="general", limit=100, cursor=page["next_cursor"])
        names += [item["name"] for item in page["items"]]
    (file,) = [file for file in items.files() if file.category == "general"]
    assert names == sorted(entry.name for entry in file.items)
