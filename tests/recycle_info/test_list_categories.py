"""GET /categories"""

import httpx

from functions.recycle_info import dataset
from tests import items
from tests.recycle_info.conftest import get


async def test_categories_come_in_the_order_of_the_contract_with_their_numbers(client: httpx.AsyncClient) -> None:
    found = await get(client, "/categories")
    assert [row["category"] for row in found] == list(dataset.CATEGORIES)
    assert sum(row["count"] for row in found) == sum(len(file.items) for file in items.files())
    assert (found[0]["category"], found[0]["name_ko"], found[0]["name_en"]) == ("paper", "종이", "Paper")
    for row in found:
        for rules in ("how_to_recycle", "do_not_do", "how_to_recycle_en", "do_not_do_en"):
            assert row[rules].strip()
