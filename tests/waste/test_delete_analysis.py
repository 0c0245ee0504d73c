"""An analysis that is deleted, with its objects and its tasks"""

import httpx

from functions.waste.drop_uploads import drop_uploads
from shared.db import Database
from tests.conftest import Person, Take
from tests.waste.conftest import BASE, accept, finish, outbox


async def test_what_was_stored_of_it_goes_and_its_task_is_forgotten(
    client: httpx.AsyncClient, person: Person, waste: Database
) -> None:
    body = await accept(client, person)
    [(_, actor, message)] = await outbox(waste, body["id"])
    assert actor == "storage/process_photo"
    path = f"{BASE}/analyses/{body['id']}"
    assert (await client.delete(path, headers=person.headers)).status_code == 204
    assert (await client.get(path, headers=person.headers)).status_code == 404
    assert (await client.delete(path, headers=person.headers)).status_code == 404
    [(_, actor, left)] = await outbox(waste, body["id"])
    assert actor == "storage/delete_objects"
    assert left == {"keys": [message["image_key"]], "prefixes": [f"images/{body['id']}"]}


async def test_a_stale_if_match_and_another_person_delete_nothing(
    client: httpx.AsyncClient, person: Person, another_person: Person, waste: Database, take: Take
) -> None:
    body = await accept(client, person)
    await finish(take, waste, body["id"])
    path = f"{BASE}/analyses/{body['id']}"
    assert (await client.delete(path, headers=person.headers | {"If-Match": '"old"'})).status_code == 412
    assert (await client.delete(path, headers=another_person.headers)).status_code == 404
    read = await client.get(path, headers=person.headers)
    assert read.status_code == 200
    await drop_uploads(waste)
    fresh = person.headers | {"If-Match": read.headers["etag"]}
    assert (await client.delete(path, headers=fresh)).status_code == 204
    [(_, _, left)] = await outbox(waste, body["id"])
    assert left["keys"] == [], "the upload has gone before"
