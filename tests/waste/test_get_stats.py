"""What a person has had analysed, by kind"""

import httpx

from shared.db import Database
from tests.conftest import Person, Take
from tests.waste.conftest import BASE, accept, finish


async def test_only_what_succeeded_counts_and_only_ones_own(
    client: httpx.AsyncClient, person: Person, another_person: Person, waste: Database, take: Take
) -> None:
    before = await client.get(f"{BASE}/stats", headers=person.headers)
    assert before.json() == {"total": 0, "by_type": {}, "since": None}
    await accept(client, person)  # still pending, and so not the first
    done = await accept(client, person)
    await finish(take, waste, done["id"])
    answer = await client.get(f"{BASE}/stats", headers=person.headers)
    assert answer.json() == {"total": 1, "by_type": {"plastic": 1}, "since": done["created_at"]}
    again = await client.get(f"{BASE}/stats", headers=person.headers | {"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304
    assert (await client.get(f"{BASE}/stats", headers=another_person.headers)).json()["total"] == 0
