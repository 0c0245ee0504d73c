"""An analysis as it happens"""

import asyncio
import json

import httpx

from shared.db import Database
from tests.conftest import Person, Take
from tests.waste.conftest import BASE, accept, finish


async def test_the_events_of_a_finished_analysis_end_with_it(
    client: httpx.AsyncClient, person: Person, waste: Database, take: Take
) -> None:
    body = await accept(client, person)
    await finish(take, waste, body["id"])
    answer = await client.get(f"{BASE}/analyses/{body['id']}/events", headers=person.headers)
    assert answer.headers["content-type"].startswith("text/event-stream")
    last = answer.text.strip().split("\n\n")[-1]
    assert last.startswith("event: done\n")
    assert json.loads(last.partition("data: ")[2])["waste_type"] == "plastic"


async def test_an_analysis_deleted_while_it_is_followed_ends_the_stream_as_failed(
    client: httpx.AsyncClient, person: Person
) -> None:
    path = f"{BASE}/analyses/{(await accept(client, person))['id']}"
    following = asyncio.create_task(client.get(f"{path}/events", headers=person.headers, timeout=30))
    await asyncio.sleep(0.2)
    assert (await client.delete(path, headers=person.headers)).status_code == 204
    answer = await asyncio.wait_for(following, 10)
    last = answer.text.strip().split("\n\n")[-1]
    assert last.startswith("event: failed\n")
    ended = json.loads(last.partition("data: ")[2])
    assert (ended["status"], ended["error_code"]) == ("failure", "deleted")
