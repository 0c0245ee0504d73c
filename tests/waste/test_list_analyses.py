"""A person's analyses, page by page"""

import httpx

from tests.conftest import Person
from tests.waste.conftest import BASE, accept


async def test_the_list_is_paged_newest_first(client: httpx.AsyncClient, person: Person) -> None:
    ids = [(await accept(client, person))["id"] for _ in range(3)]
    first = (await client.get(f"{BASE}/analyses?limit=2", headers=person.headers)).json()
    assert [item["id"] for item in first["items"]] == ids[:0:-1]
    rest = (await client.get(f"{BASE}/analyses?limit=2&cursor={first['next_cursor']}", headers=person.headers)).json()
    assert ([item["id"] for item in rest["items"]], rest["next_cursor"]) == (ids[:1], None)
    wrong = await client.get(f"{BASE}/analyses?cursor=nonsense", headers=person.headers)
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (400, "cursor")
