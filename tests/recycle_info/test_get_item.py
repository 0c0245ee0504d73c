"""GET /items/{id}"""

import httpx
import pytest

from functions.recycle_info import dataset
from tests import items
from tests.recycle_info.conftest import PREFIX, get


async def test_one_item_has_an_etag(client: httpx.AsyncClient) -> None:
    item = (await get(client, "/items", limit=1))["items"][0]
    answer = await client.get(f"{PREFIX}/items/{item['id']}")
    assert answer.json() == item
    again = await client.get(f"{PREFIX}/items/{item['id']}", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("id_", ["78077280-a815-45d8-b2b1-1e3a53d2e999", "00000000-0000-0000-0000-000000000000"])
async def test_an_item_that_is_not_there_is_404(client: httpx.AsyncClient, id_: str) -> None:
    answer = await client.get(f"{PREFIX}/items/{id_}")
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:eco2:not-found")


async def test_an_item_says_why_what_if_and_answers_what_is_asked_with_its_source(client: httpx.AsyncClient) -> None:
    (entry,) = [entry for file in items.files() for entry in file.items if entry.slug == "pizza-box"]
    item = await get(client, f"/items/{dataset.to_item(entry, 'paper').id}")
    assert (item["why"], item["why_en"]) == (entry.why, entry.why_en)
    assert (item["answers"], item["exceptions"]) == (entry.answers, entry.exceptions)
    assert item["answers"]["rain"]["en"].startswith("No, wet cardboard")
    assert item["bins"] == ["paper", "bag"]
    assert item["source"]["date"] == "2024-02-15"
