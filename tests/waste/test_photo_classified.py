"""The ai worker's answer about a photo"""

from datetime import datetime

import httpx
import pytest

from functions.waste.photo_classified import photo_classified
from functions.waste.photo_processed import photo_processed
from shared.db import Database
from tests.conftest import Person, Take
from tests.waste.conftest import BASE, CLASSIFIED, accept, finish, outbox, outcome, processed, told


@pytest.mark.usefixtures("empty_cache")  # else a guide that a test before had fetched is there
async def test_an_accepted_photo_ends_with_an_answer(
    client: httpx.AsyncClient, person: Person, waste: Database, take: Take, broker_url: str
) -> None:
    body = await accept(client, person)
    assert body["status"] == "pending"
    await finish(take, waste, body["id"])
    answer = await client.get(f"{BASE}/analyses/{body['id']}", headers=person.headers)
    analysis = answer.json()
    assert analysis["status"] == "success"
    assert (analysis["waste_type"], analysis["confidence"]) == ("plastic", 0.91)
    assert analysis["image_url"] == f"http://cdn.test/images/{body['id']}/a-web.jpg"
    assert [image["s3_key"] for image in analysis["images"]] == [
        f"images/{body['id']}/a-web.jpg",
        f"images/{body['id']}/a-thumb.jpg",
    ]
    assert analysis["analysis_result"]["candidates"][1] == {"waste_type": "glass", "confidence": 0.05}
    # recycle-info is not there in this test: said so, and filled later.
    assert analysis["analysis_result"]["guide"]["state"] == "missing"
    # Nothing is left to do for it alone: its raw upload goes with those of others (drop_uploads).
    assert await outbox(waste, body["id"]) == []
    assert told(broker_url, body["id"]) == ["ended"], "whoever follows it need not wait for the next look at its row"


async def test_an_answer_that_comes_twice_is_taken_once(
    client: httpx.AsyncClient, person: Person, waste: Database, take: Take
) -> None:
    id_ = str((await accept(client, person))["id"])
    [(task, *_)] = await outbox(waste, id_)
    await take(photo_processed, outcome(task, id_, processed(id_)))
    [(task, *_)] = await outbox(waste, id_)
    read = []
    answer = outcome(task, id_, CLASSIFIED)
    for _ in range(2):
        await take(photo_classified, answer)
        read.append((await client.get(f"{BASE}/analyses/{id_}", headers=person.headers)).json())
    assert read[0] == read[1]
    assert read[0]["status"] == "success"
    assert datetime.fromisoformat(read[0]["completed_at"]) == answer.completed_at, "not when it was heard of"
    assert await outbox(waste, id_) == []
