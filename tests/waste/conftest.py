"""What the tests of waste share: an accepted photo, the workers' answers, recycle-info with its items."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID

import httpx
import msgspec
import pytest
import redis

from functions.waste.guides import Guides
from functions.waste.photo_classified import photo_classified
from functions.waste.photo_processed import photo_processed
from runtime.http.host import build
from shared import clock, progress
from shared.caching import Cache
from shared.calls import Calls
from shared.db import Database
from shared.ids import new_id
from shared.messages import Candidate, Classification, Outcome, ProcessedPhoto, TaskError
from shared.redis import connect_async
from tests import items, support, web
from tests.conftest import Person, Serve, Take
from tests.support import photo


@pytest.fixture
async def recycle(environment: dict[str, str], db: Callable[[str], Awaitable[Database]]) -> AsyncIterator[str]:
    """The address that it answers on."""
    await items.put(await db("recycle_info"))
    edge, _ = build(["recycle_info"], environment, background=False, access_log=False)
    async with support.listening(edge) as address:
        yield address


BASE = "/api/v1/waste"


@pytest.fixture
async def client(serve: Serve) -> httpx.AsyncClient:
    return await serve("waste")


@pytest.fixture
async def waste(db: Any) -> Database:
    database: Database = await db("waste")
    return database


async def upload(client: httpx.AsyncClient, person: Person, content: bytes | None = None) -> str:
    content = content or photo()
    answer = await client.post(
        f"{BASE}/uploads", json={"content_type": "image/jpeg", "size_bytes": len(content)}, headers=person.headers
    )
    assert answer.status_code == 201, answer.text
    form = answer.json()
    async with web.AsyncClient() as outside:
        stored = await outside.post(form["url"], data=form["fields"], files={"file": ("photo.jpg", content)})
    assert stored.status_code == 204, stored.text
    key: str = form["image_key"]
    return key


async def accept(client: httpx.AsyncClient, person: Person, **headers: str) -> dict[str, Any]:
    key = await upload(client, person)
    answer = await client.post(f"{BASE}/analyses", json={"image_key": key}, headers=person.headers | headers)
    assert answer.status_code == 202, answer.text
    body: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"{BASE}/analyses/{body['id']}"
    return body


async def outbox(waste: Database, analysis_id: str) -> list[tuple[UUID, str, dict[str, Any]]]:
    async with waste.connection() as conn:
        cursor = await conn.execute(
            "SELECT id, actor, message FROM outbox WHERE subject = %s ORDER BY id", [analysis_id]
        )
        return await cursor.fetchall()


def outcome(task_id: UUID, analysis_id: str, record: Any = None, error: TaskError | None = None) -> Outcome:
    return Outcome(
        task_id=task_id,
        run_id=new_id(),
        subject=UUID(analysis_id),
        status="failure" if error else "success",
        completed_at=clock.now(),
        record=msgspec.to_builtins(record),
        error=error,
    )


def processed(analysis_id: str) -> ProcessedPhoto:
    return ProcessedPhoto(
        f"images/{analysis_id}/a-web.jpg", f"images/{analysis_id}/a-thumb.jpg", 640, 480, 1000, "a" * 64, "JPEG"
    )


CLASSIFIED = Classification(
    "plastic", 0.91, [Candidate("plastic", 0.91), Candidate("glass", 0.05)], "embedded", "lite0"
)


async def finish(take: Take, waste: Database, analysis_id: str, answer: Classification = CLASSIFIED) -> None:
    """Answer as both workers would."""
    [(task_id, actor, _)] = await outbox(waste, analysis_id)
    assert actor == "storage/process_photo"
    await take(photo_processed, outcome(task_id, analysis_id, processed(analysis_id)))
    [(task_id, actor, _)] = await outbox(waste, analysis_id)
    assert actor == "ai/classify_photo"
    await take(photo_classified, outcome(task_id, analysis_id, answer))


def told(broker_url: str, analysis_id: str) -> list[str]:
    """The names of the events that whoever follows an analysis gets."""
    with redis.Redis.from_url(broker_url, decode_responses=True) as broker:
        found: Any = broker.xrange(progress.stream(UUID(analysis_id)))
    return [event["name"] for _, event in found]


@pytest.fixture
async def empty_cache(cache_url: str) -> AsyncIterator[Cache]:
    """An empty one."""
    cache = Cache(connect_async(cache_url))
    await cache.client.flushdb()
    yield cache
    await cache.close()


@pytest.fixture
async def here(recycle: str, empty_cache: Cache) -> AsyncIterator[Guides]:
    """Guides while recycle-info answers."""
    calls = Calls({"api-recycle-info": recycle})
    yield Guides(calls, empty_cache)
    await calls.close()


NO_ONE = Calls({"api-recycle-info": "http://127.0.0.1:9"})


@pytest.fixture
def away(empty_cache: Cache) -> Guides:
    """Guides while recycle-info is away."""
    return Guides(NO_ONE, empty_cache)
