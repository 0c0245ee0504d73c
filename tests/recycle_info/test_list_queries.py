"""GET /queries"""

import httpx

from tests.conftest import Person
from tests.recycle_info.conftest import PREFIX


async def test_with_a_token_a_search_is_kept_newest_first_and_for_that_person_alone(
    client: httpx.AsyncClient, person: Person, another_person: Person
) -> None:
    for q in ("신문지", "페트병", "책"):
        await client.get(f"{PREFIX}/search", params={"q": q}, headers=person.headers)
    await client.get(f"{PREFIX}/search", params={"q": "상자"}, headers=another_person.headers)
    await client.get(f"{PREFIX}/search", params={"q": "노트"})
    first = (await client.get(f"{PREFIX}/queries", headers=person.headers, params={"limit": 2})).json()
    assert [kept["query"] for kept in first["items"]] == ["책", "페트병"]
    assert first["items"][0]["result"][0]["name"] == "책"
    assert set(first["items"][0]) == {"id", "query", "result", "created_at"}
    rest = (
        await client.get(f"{PREFIX}/queries", headers=person.headers, params={"cursor": first["next_cursor"]})
    ).json()
    assert ([kept["query"] for kept in rest["items"]], rest["next_cursor"]) == (["신문지"], None)


async def test_of_what_a_search_found_the_best_five_are_kept(client: httpx.AsyncClient, person: Person) -> None:
    found = (
        await client.get(f"{PREFIX}/search", params={"q": "plastic", "floor": "0.1"}, headers=person.headers)
    ).json()["items"]
    assert len(found) > 5
    (kept,) = (await client.get(f"{PREFIX}/queries", headers=person.headers)).json()["items"]
    assert kept["result"] == [{"item_id": item["id"], "name": item["name"]} for item in found[:5]]


async def test_a_search_that_found_nothing_is_kept_as_such(client: httpx.AsyncClient, person: Person) -> None:
    asked = ["유니콘", "쓰레기 봉투 가격"]  # the second one resembles something, which is no answer
    for q in asked:
        await client.get(f"{PREFIX}/search", params={"q": q}, headers=person.headers)
    kept = (await client.get(f"{PREFIX}/queries", headers=person.headers)).json()["items"]
    assert [(one["query"], one["result"]) for one in reversed(kept)] == [(q, []) for q in asked]


async def test_a_history_needs_a_token(client: httpx.AsyncClient) -> None:
    assert (await client.get(f"{PREFIX}/queries")).status_code == 401
