"""A photo that is accepted by its upload's key"""

import httpx

from shared import spend
from shared.db import Database
from shared.objects import ObjectStore
from shared.redis import connect
from tests.conftest import Person
from tests.waste.conftest import BASE, accept, outbox, upload


async def test_an_upload_is_good_for_one_analysis_of_its_owner(
    client: httpx.AsyncClient, person: Person, another_person: Person
) -> None:
    key = await upload(client, person)
    request = {"image_key": key}
    stolen = await client.post(f"{BASE}/analyses", json=request, headers=another_person.headers)
    assert stolen.status_code == 404
    assert stolen.json()["type"] == "urn:eco2:uploads:not-found"
    assert (await client.post(f"{BASE}/analyses", json=request, headers=person.headers)).status_code == 202
    assert (await client.post(f"{BASE}/analyses", json=request, headers=person.headers)).status_code == 404


async def test_a_key_that_was_never_uploaded_is_not_found(client: httpx.AsyncClient, person: Person) -> None:
    form = await client.post(
        f"{BASE}/uploads", json={"content_type": "image/png", "size_bytes": 100}, headers=person.headers
    )
    request = {"image_key": form.json()["image_key"]}
    assert (await client.post(f"{BASE}/analyses", json=request, headers=person.headers)).status_code == 404


async def test_a_repeated_request_gets_the_first_answer(
    client: httpx.AsyncClient, person: Person, waste: Database, objects: ObjectStore
) -> None:
    key = await upload(client, person)
    headers = person.headers | {"Idempotency-Key": "once"}
    first = await client.post(f"{BASE}/analyses", json={"image_key": key}, headers=headers)
    objects.delete(key)
    again = await client.post(f"{BASE}/analyses", json={"image_key": key}, headers=headers)
    assert (again.status_code, again.json(), again.headers["location"]) == (
        202,
        first.json(),
        first.headers["location"],
    )
    assert len(await outbox(waste, first.json()["id"])) == 1
    other = await client.post(
        f"{BASE}/analyses", json={"image_key": key[:-1] + ("1" if key[-1] == "0" else "0")}, headers=headers
    )
    assert other.status_code == 409
    assert other.json()["type"] == "urn:eco2:idempotency:key-reused"


async def test_who_has_used_up_the_day_is_told_when_to_come_again_and_keeps_the_upload(
    client: httpx.AsyncClient, person: Person, another_person: Person, broker_url: str
) -> None:
    key = await upload(client, person)
    counters = connect(broker_url)
    # What the worker does when it can't reserve enough.
    purse = spend.Purse(counters, spend.Limits(10, 10), spend.Limits(10**9, 10**9))
    assert purse.reserve(spend.spender(person.id), 11, 0) is None
    refused = await client.post(f"{BASE}/analyses", json={"image_key": key}, headers=person.headers)
    problem = refused.json()
    assert (refused.status_code, problem["type"]) == (429, "urn:eco2:ai:day-used-up")
    assert "midnight" in problem["detail"], "a sentence for the person"
    assert 0 < int(refused.headers["retry-after"]) <= 86_400
    await accept(client, another_person)
    for name in counters.keys("spend:*"):
        counters.delete(name)
    counters.close()
    taken = await client.post(f"{BASE}/analyses", json={"image_key": key}, headers=person.headers)
    assert taken.status_code == 202, "what was refused for want of budget used nothing up"


async def test_the_task_names_the_upload_where_its_copies_go_who_is_told_and_whose_turn_it_waits_for(
    client: httpx.AsyncClient, person: Person, waste: Database
) -> None:
    key = await upload(client, person)
    body = (await client.post(f"{BASE}/analyses", json={"image_key": key}, headers=person.headers)).json()
    async with waste.connection() as conn:
        cursor = await conn.execute("SELECT actor, message, reply, person FROM outbox WHERE subject = %s", [body["id"]])
        message = {"image_key": key, "prefix": f"images/{body['id']}"}
        assert await cursor.fetchall() == [
            ("storage/process_photo", message, "waste/photo_processed", spend.spender(person.id))
        ]
