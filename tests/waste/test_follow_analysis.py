"""An analysis as it happens"""

import asyncio
import json
import os
from pathlib import Path
from uuid import UUID

import httpx
import redis.asyncio

from shared import clock, identity, progress, tickets
from shared.db import Database
from tests.conftest import Person, Serve, Take, make_person
from tests.support import Keys
from tests.waste.conftest import BASE, accept, finish


async def test_the_events_of_a_finished_analysis_end_with_it(
    client: httpx.AsyncClient, person: Person, waste: Database, take: Take
) -> None:
    body = await accept(client, person)
    await finish(take, waste, body["id"])
    answer = await client.get(f"{BASE}/analyses/{body['id']}/events", headers=person.headers)
    assert answer.headers["content-type"].startswith("text/event-stream")
    # No proxy on the way may gather the events, or keep them.
    assert (answer.headers["x-accel-buffering"], answer.headers["cache-control"]) == ("no", "no-store")
    last = answer.text.strip().split("\n\n")[-1]
    assert last.startswith("event: done\n")
    assert json.loads(last.partition("data: ")[2])["waste_type"] == "plastic"


async def test_whoever_comes_back_is_told_what_came_after_the_last_event_that_they_saw(
    client: httpx.AsyncClient, person: Person, waste: Database, take: Take, broker_url: str
) -> None:
    body = await accept(client, person)
    subject = UUID(str(body["id"]))
    with redis.Redis.from_url(broker_url, decode_responses=True) as broker:
        for part in (0.1, 0.4):
            data = {"stage": "checking", "progress": part}
            progress.Publisher(broker).add(subject, subject, "progress", data)
        [first, second] = [id_ for id_, _ in broker.xrange(progress.stream(subject))]
    await finish(take, waste, body["id"])
    path, seen = f"{BASE}/analyses/{subject}/events", {"Last-Event-ID": first}
    answers = [(await client.get(path, headers=person.headers | more)).text for more in ({}, seen)]
    assert [f"id: {first}\n" in told for told in answers] == [True, False]
    assert [f"id: {second}\n" in told for told in answers] == [True, True]


async def test_an_analysis_deleted_while_it_is_followed_ends_the_stream_as_failed(
    client: httpx.AsyncClient, person: Person
) -> None:
    path = f"{BASE}/analyses/{(await accept(client, person))['id']}"
    following = asyncio.create_task(client.get(f"{path}/events", headers=person.headers, timeout=60))
    await asyncio.sleep(0.2)
    assert (await client.delete(path, headers=person.headers)).status_code == 204
    answer = await asyncio.wait_for(following, 60)
    last = answer.text.strip().split("\n\n")[-1]
    assert last.startswith("event: failed\n")
    ended = json.loads(last.partition("data: ")[2])
    assert (ended["status"], ended["error_code"]) == ("failure", "deleted")


async def test_a_ticket_opens_its_stream_once_and_for_its_person(
    client: httpx.AsyncClient, person: Person, waste: Database, take: Take, keys: Keys
) -> None:
    body = await accept(client, person)
    await finish(take, waste, body["id"])
    stream = f"{BASE}/analyses/{body['id']}/events"
    assert (await client.post(f"{stream}/ticket")).status_code == 401
    made = await client.post(f"{stream}/ticket", headers=person.headers)
    assert (made.status_code, made.json()["expires_in"]) == (201, 60)
    assert made.headers["cache-control"] == "no-store"
    ticket = made.json()["ticket"]
    answer = await client.get(f"{stream}?ticket={ticket}")
    assert answer.status_code == 200
    assert "event: done\n" in answer.text
    assert answer.headers["referrer-policy"] == "no-referrer"
    # Used; never made; for another address, and then gone too.
    assert (await client.get(f"{stream}?ticket={ticket}")).status_code == 401
    assert (await client.get(f"{stream}?ticket=nonsense")).status_code == 401
    other = (await client.post(f"{stream}/ticket", headers=person.headers)).json()["ticket"]
    assert (await client.get(f"{BASE}/analyses/{person.id}/events?ticket={other}")).status_code == 401
    assert (await client.get(f"{stream}?ticket={other}")).status_code == 401
    # Another person's ticket opens what is that person's: nothing here. And no ticket opens anything but a stream.
    stranger = make_person(keys)
    foreign = (await client.post(f"{stream}/ticket", headers=stranger.headers)).json()["ticket"]
    assert (await client.get(f"{stream}?ticket={foreign}")).status_code == 404
    mine = (await client.post(f"{stream}/ticket", headers=person.headers)).json()["ticket"]
    assert (await client.get(f"{BASE}/analyses/{body['id']}?ticket={mine}")).status_code == 401


async def test_a_ticket_ends_after_a_minute_and_with_its_session(
    client: httpx.AsyncClient, person: Person, broker_url: str
) -> None:
    stream = f"{BASE}/analyses/{(await accept(client, person))['id']}/events"
    await client.post(f"{stream}/ticket", headers=person.headers)
    async with redis.asyncio.Redis.from_url(broker_url, decode_responses=True) as broker:
        lives = [await broker.ttl(key) for key in await broker.keys("ticket:*")]
        # Who is let in by a ticket is let in for as long as by the token that it was made with.
        session = identity.Session(identity.User(person.id, person.session_id), clock.time() + 5)
        made = await tickets.issue(broker, stream, session)
        assert (await tickets.redeem(broker, stream, made.ticket)).expires_at == session.expires_at
    assert lives
    assert all(0 < seconds <= tickets.SECONDS for seconds in lives)


async def test_a_stream_ends_soon_after_its_session_and_a_ticket_does_not_outlive_it(
    serve: Serve, person: Person, broker_url: str
) -> None:
    client = await serve("waste", background=True)
    stream = f"{BASE}/analyses/{(await accept(client, person))['id']}/events"
    spare = (await client.post(f"{stream}/ticket", headers=person.headers)).json()["ticket"]
    by_ticket = (await client.post(f"{stream}/ticket", headers=person.headers)).json()["ticket"]
    following = [
        asyncio.create_task(client.get(stream, headers=person.headers, timeout=60)),
        asyncio.create_task(client.get(f"{stream}?ticket={by_ticket}", timeout=60)),
    ]
    await asyncio.sleep(2)
    assert not any(task.done() for task in following)
    async with redis.asyncio.Redis.from_url(broker_url, decode_responses=True) as broker:
        await identity.announce_revocations(broker, [person.session_id])
        answers = await asyncio.wait_for(asyncio.gather(*following), 60)
        assert {answer.status_code for answer in answers} == {200}
        assert not any("event: done" in answer.text or "event: failed" in answer.text for answer in answers)
        assert (await client.get(f"{stream}?ticket={spare}")).status_code == 401
        await broker.delete(identity.REVOKED_KEY)


async def test_a_stream_ends_when_its_token_expires(client: httpx.AsyncClient, person: Person, tmp_path: Path) -> None:
    stream = f"{BASE}/analyses/{(await accept(client, person))['id']}/events"
    following = asyncio.create_task(client.get(stream, headers=person.headers, timeout=60))
    await asyncio.sleep(0.5)
    offset = tmp_path / "clock"
    clock.write_offset(str(offset), identity.ACCESS_SECONDS + 1)
    clock.use_file(str(offset))
    try:
        answer = await asyncio.wait_for(following, 60)
        assert answer.status_code == 200
        assert (await client.get(stream, headers=person.headers)).status_code == 401
    finally:
        clock.use_file(os.environ.get("ECO2_CLOCK_FILE"))
