"""GET /categories, GET /items and GET /items/{id}, and the erasure of a person"""

from typing import Any
from uuid import UUID

import httpx
import pytest

from functions.recycle_info import dataset
from functions.recycle_info.erase_person import erase_person
from shared.db import Database
from shared.messages import ErasePerson
from tests.conftest import Person
from tests.recycle_info.conftest import PREFIX


async def get(client: httpx.AsyncClient, path: str, **query: Any) -> Any:
    answer = await client.get(f"{PREFIX}{path}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_categories_come_in_the_order_of_the_contract_with_their_numbers(client: httpx.AsyncClient) -> None:
    found = await get(client, "/categories")
    assert [row["category"] for row in found] == list(dataset.CATEGORIES)
    assert sum(row["count"] for row in found) == sum(len(file.items) for file in dataset.read_files())
    assert (found[0]["category"], found[0]["name_ko"], found[0]["name_en"]) == ("paper", "종이", "Paper")
    for row in found:
        for rules in ("how_to_recycle", "do_not_do", "how_to_recycle_en", "do_not_do_en"):
            assert row[rules].strip()


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
    assert len(names) == len(set(names)) == sum(len(file.items) for file in dataset.read_files())


async def test_a_category_holds_its_items_alone(client: httpx.AsyncClient) -> None:
    page = await get(client, "/items", category="battery", limit=100)
    assert {item["category"] for item in page["items"]} == {"battery"}
    assert "건전지" in [item["name"] for item in page["items"]]


@pytest.mark.parametrize("query", [{"category": "unknown"}, {"limit": 0}, {"limit": 101}, {"cursor": "x"}])
async def test_a_bad_list_is_400_and_named(client: httpx.AsyncClient, query: dict[str, Any]) -> None:
    answer = await client.get(f"{PREFIX}/items", params=query)
    assert answer.status_code == 400, answer.text
    assert [error["field"] for error in answer.json()["errors"]] == list(query)


async def test_one_item_has_an_etag(client: httpx.AsyncClient) -> None:
    item = (await get(client, "/items", limit=1))["items"][0]
    answer = await client.get(f"{PREFIX}/items/{item['id']}")
    assert answer.json() == item
    again = await client.get(f"{PREFIX}/items/{item['id']}", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("id_", ["01980000-0000-7000-8000-000000000000", str(UUID(int=0))])
async def test_an_item_that_is_not_there_is_404(client: httpx.AsyncClient, id_: str) -> None:
    answer = await client.get(f"{PREFIX}/items/{id_}")
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:eco2:not-found")


async def test_an_erased_person_has_searched_for_nothing(
    client: httpx.AsyncClient, database: Database, person: Person, another_person: Person
) -> None:
    for somebody in (person, another_person):
        await client.get(f"{PREFIX}/search", params={"q": "신문지"}, headers=somebody.headers)
    await erase_person(ErasePerson(person.id), database)
    await erase_person(ErasePerson(person.id), database)
    async with database.connection() as conn:
        cur = await conn.execute(
            "SELECT user_id, count(*) FROM user_queries WHERE user_id = ANY(%s) GROUP BY user_id",
            [[person.id, another_person.id]],
        )
        assert await cur.fetchall() == [(another_person.id, 1)]
