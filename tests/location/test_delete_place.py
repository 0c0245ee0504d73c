"""A place that is deleted, unless it has changed"""

import httpx

from tests.conftest import Person
from tests.location.conftest import PLACES, add


async def test_a_stale_change_and_a_stale_deletion_are_refused(location: httpx.AsyncClient, person: Person) -> None:
    place = await add(location, person, is_default=True)
    path = f"{PLACES}/{place['id']}"
    tag = (await location.get(path, headers=person.headers)).headers["ETag"]
    fresh = person.headers | {"If-Match": tag}
    # The default itself, made the default once more: that it is so must not make its own tag stale.
    assert (await location.patch(path, json={"is_default": True}, headers=fresh)).status_code == 200
    assert (await location.patch(path, json={"name": "새 이름"}, headers=fresh)).status_code == 200
    assert (await location.patch(path, json={"name": "늦은 이름"}, headers=fresh)).status_code == 412
    assert (await location.delete(path, headers=fresh)).status_code == 412
    assert (await location.get(path, headers=person.headers)).json()["name"] == "새 이름"
    assert (await location.delete(path, headers=person.headers)).status_code == 204
    assert (await location.get(path, headers=person.headers)).status_code == 404
