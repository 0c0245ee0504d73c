"""The storage worker's answer about a photo"""

from datetime import datetime
from uuid import UUID

import httpx
import msgspec

from functions.waste.messages import PhotoProcessed
from functions.waste.photo_processed import photo_processed
from shared.db import Database
from shared.messages import ProcessPhoto, TaskError
from shared.spend import spender
from shared.tasks import enqueue
from tests.conftest import Person, Take
from tests.waste.conftest import BASE, accept, outbox, outcome, processed, told


async def test_a_file_that_is_no_image_ends_as_a_failure(
    client: httpx.AsyncClient, person: Person, waste: Database, take: Take, broker_url: str
) -> None:
    body = await accept(client, person)
    [(task_id, _, _)] = await outbox(waste, body["id"])
    error = TaskError("not-an-image", "The file is no image.")
    failed = outcome(task_id, body["id"], error=error)
    await take(photo_processed, failed)
    analysis = (await client.get(f"{BASE}/analyses/{body['id']}", headers=person.headers)).json()
    assert analysis["status"] == "failure"
    assert datetime.fromisoformat(analysis["completed_at"]) == failed.completed_at, "not when it was heard of"
    assert analysis["error"] == "The file is no image."
    assert analysis["error_code"] == "not-an-image"
    assert told(broker_url, body["id"]) == ["ended"]


async def test_who_pays_for_the_look_at_a_photo_is_its_owner_without_a_name(
    client: httpx.AsyncClient, person: Person, waste: Database, take: Take
) -> None:
    body = await accept(client, person)
    [(task_id, _, _)] = await outbox(waste, body["id"])
    await take(photo_processed, outcome(task_id, body["id"], processed(body["id"])))
    async with waste.connection() as conn:
        cursor = await conn.execute("SELECT message ->> 'spender', person FROM outbox WHERE subject = %s", [body["id"]])
        assert await cursor.fetchall() == [(spender(person.id), spender(person.id))]


async def test_a_result_that_comes_twice_changes_nothing(
    client: httpx.AsyncClient, person: Person, waste: Database, take: Take, broker_url: str
) -> None:
    body = await accept(client, person)
    [(task_id, _, _)] = await outbox(waste, body["id"])
    first = outcome(task_id, body["id"], processed(body["id"]))
    await take(photo_processed, first)
    await take(photo_processed, first)
    assert [actor for _, actor, _ in await outbox(waste, body["id"])] == ["ai/classify_photo"]
    assert told(broker_url, body["id"]) == [], "it has not ended yet"


async def test_the_result_of_a_task_that_was_accepted_once_more_adds_no_image(
    client: httpx.AsyncClient, person: Person, waste: Database, take: Take
) -> None:
    """As after a restore of the outbox, or when an operator sends the task again."""
    body = await accept(client, person)
    [(task_id, _, message)] = await outbox(waste, body["id"])
    result = outcome(task_id, body["id"], processed(body["id"]))
    await take(photo_processed, result)
    async with waste.transaction() as conn:
        again = msgspec.convert(message, ProcessPhoto)
        await enqueue(conn, again, subject=UUID(body["id"]), reply=PhotoProcessed, task_id=task_id)
    await take(photo_processed, result)
    analysis = (await client.get(f"{BASE}/analyses/{body['id']}", headers=person.headers)).json()
    # The photo first, the thumbnail behind it: an app shows the first.
    assert [image["s3_key"].rpartition("-")[2] for image in analysis["images"]] == ["web.jpg", "thumb.jpg"]
    assert {datetime.fromisoformat(image["uploaded_at"]) for image in analysis["images"]} == {result.completed_at}


async def test_a_result_without_a_row_deletes_its_objects(
    client: httpx.AsyncClient, person: Person, waste: Database, take: Take
) -> None:
    body = await accept(client, person)
    [(task_id, _, _)] = await outbox(waste, body["id"])
    deleted = await client.delete(f"{BASE}/analyses/{body['id']}", headers=person.headers)
    assert deleted.status_code == 204
    await take(photo_processed, outcome(task_id, body["id"], processed(body["id"])))
    rows = await outbox(waste, body["id"])
    assert [actor for _, actor, _ in rows] == ["storage/delete_objects"] * 2
    assert rows[1][2]["prefixes"] == [f"images/{body['id']}"]
