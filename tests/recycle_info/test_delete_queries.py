"""DELETE /queries"""

import httpx

from tests.conftest import Person
from tests.recycle_info.conftest import PREFIX


async def test_a_person_forgets_their_own_searches_alone(
    client: httpx.AsyncClient, person: Person, another_person: Person
) -> None:
    for somebody in (person, another_person):
        await client.get(f"{PREFIX}/search", params={"q": "상자"}, headers=somebody.headers)
    stale = await client.delete(f"{PREFIX}/queries", headers=person.headers | {"If-Match": '"stale"'})
    assert stale.status_code == 412
    assert len((await client.get(f"{PREFIX}/queries", headers=person.headers)).json()["items"]) == 1
    assert (await client.delete(f"{PREFIX}/queries", headers=person.headers)).status_code == 204
    assert (await client.get(f"{PREFIX}/queries", headers=person.headers)).json()["items"] == []
    others = (await client.get(f"{PREFIX}/queries", headers=another_person.headers)).json()["items"]
    assert [kept["query"] for kept in others] == ["상자"]


async def test_forgetting_needs_a_token(client: httpx.AsyncClient) -> None:
    assert (await client.delete(f"{PREFIX}/queries")).status_code == 401
