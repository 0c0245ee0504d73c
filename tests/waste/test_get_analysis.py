"""One analysis, for its owner"""

import httpx

from tests.conftest import Person
from tests.waste.conftest import BASE, accept


async def test_nobody_sees_another_persons_analysis(
    client: httpx.AsyncClient, person: Person, another_person: Person
) -> None:
    body = await accept(client, person)
    path = f"{BASE}/analyses/{body['id']}"
    theirs = another_person.headers
    assert (await client.get(path, headers=theirs)).status_code == 404
    assert (await client.get(f"{path}/events", headers=theirs)).status_code == 404
    assert (await client.patch(path, json={"waste_type": "glass"}, headers=theirs)).status_code == 404
    assert (await client.delete(path, headers=theirs)).status_code == 404
    assert (await client.get(f"{BASE}/analyses", headers=theirs)).json()["items"] == []
    assert (await client.get(path)).status_code == 401
