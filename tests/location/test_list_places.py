"""A person's places, page by page"""

import httpx

from tests.conftest import Person
from tests.location.conftest import HOME, PLACES, add


async def test_places_are_listed_newest_first_and_page_by_page(location: httpx.AsyncClient, person: Person) -> None:
    names = [(await add(location, person, name=f"곳 {number}"))["name"] for number in range(5)]
    seen: list[str] = []
    cursor = None
    while True:
        params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await location.get(PLACES, params=params, headers=person.headers)).json()
        seen += [item["name"] for item in page["items"]]
        if (cursor := page["next_cursor"]) is None:
            break
    assert seen == names[::-1]


async def test_nobody_has_places_without_a_token(location: httpx.AsyncClient) -> None:
    for answer in (await location.get(PLACES), await location.post(PLACES, json=HOME)):
        assert answer.status_code == 401
