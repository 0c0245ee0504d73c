"""A person's conversations, page by page"""

import httpx

from tests.chat_llm.conftest import BASE, begin
from tests.conftest import Person


async def test_the_list_is_paged_newest_first(
    client: httpx.AsyncClient, person: Person, another_person: Person
) -> None:
    ids = [await begin(client, person) for _ in range(5)]
    await begin(client, another_person)
    seen, cursor = [], ""
    while True:
        page = (await client.get(f"{BASE}?limit=2{cursor}", headers=person.headers)).json()
        seen += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == ids[::-1]
    wrong = await client.get(f"{BASE}?cursor=nonsense", headers=person.headers)
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (400, "cursor")
