"""The userinfo service, and a picture on its way into the store."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import httpx
import msgspec
import pytest

from functions.storage.process_photo import process_photo
from functions.userinfo.avatar_processed import avatar_processed
from functions.userinfo.erase_person import erase_person
from shared import clock
from shared.db import Database
from shared.ids import new_id
from shared.messages import ErasePerson, Outcome, ProcessPhoto, TaskError
from shared.objects import ObjectStore
from shared.progress import Progress, Publisher
from shared.redis import connect
from shared.tasks import Task, TaskFailed
from tests import web
from tests.conftest import Person, Serve
from tests.support import photo

USERS = "/api/v1/users"


@pytest.fixture
async def userinfo(serve: Serve) -> httpx.AsyncClient:
    """The service, through the production loader."""
    return await serve("userinfo")


@pytest.fixture
async def database(db: Callable[[str], Awaitable[Database]]) -> Database:
    """A pool under the service's role."""
    return await db("userinfo")


async def upload(client: httpx.AsyncClient, person: Person, content: bytes | None = None) -> str:
    """Put a picture into the store as an app does; return its key."""
    content = photo() if content is None else content
    request = {"content_type": "image/jpeg", "size_bytes": len(content)}
    answer = await client.post(f"{USERS}/me/avatar/uploads", json=request, headers=person.headers)
    assert answer.status_code == 201, answer.text
    form = answer.json()
    async with web.AsyncClient() as outside:
        stored = await outside.post(form["url"], data=form["fields"], files={"file": ("me.jpg", content)})
    assert stored.status_code == 204, stored.text
    return str(form["image_key"])


async def set_avatar(client: httpx.AsyncClient, person: Person, key: str, **headers: str) -> httpx.Response:
    return await client.put(f"{USERS}/me/avatar", json={"image_key": key}, headers=person.headers | headers)


async def tasks_for(database: Database, actor: str) -> list[tuple[UUID, UUID, dict[str, Any]]]:
    """Tasks of an actor in the outbox, oldest first: id, subject, message."""
    async with database.connection() as conn:
        cur = await conn.execute("SELECT id, subject, message FROM outbox WHERE actor = %s ORDER BY id", [actor])
        return await cur.fetchall()


def work(objects: ObjectStore, task_id: UUID, subject: UUID, message: dict[str, Any]) -> Outcome:
    """What the storage worker answers, without the worker around the function."""
    task = Task(task_id, new_id(), subject, 1, clock.now())
    try:
        # No broker: what a task says of itself is a courtesy.
        progress = Progress(Publisher(connect("redis://127.0.0.1:9")), task)
        result = process_photo(ProcessPhoto(**message), objects, progress)
    except TaskFailed as failed:
        return Outcome(
            task_id, task.run_id, subject, "failure", clock.now(), error=TaskError(failed.code, failed.message)
        )
    return Outcome(task_id, task.run_id, subject, "success", clock.now(), record=msgspec.to_builtins(result.record))


async def erase(database: Database, user_id: UUID) -> None:
    await erase_person(ErasePerson(user_id), database)


async def process_all(database: Database, objects: ObjectStore) -> None:
    """Have every picture in the outbox checked, and its outcome taken."""
    for task in await tasks_for(database, "storage/process_photo"):
        await avatar_processed(work(objects, *task), database, objects)


ME = f"{USERS}/me"


SETTINGS = f"{USERS}/me/settings"


PROCESS, DELETE = "storage/process_photo", "storage/delete_objects"


@pytest.fixture(autouse=True)
async def no_tasks(database: Database) -> None:
    async with database.connection() as conn:
        await conn.execute("DELETE FROM outbox")


async def profile(client: httpx.AsyncClient, person: Person) -> dict[str, str | None]:
    return dict((await client.get(ME, headers=person.headers)).json())


async def deleted(database: Database) -> tuple[list[str], list[str]]:
    """Keys and prefixes that the storage worker is to delete; and forget them."""
    messages = [message for _, _, message in await tasks_for(database, DELETE)]
    async with database.connection() as conn:
        await conn.execute("DELETE FROM outbox WHERE actor = %s", [DELETE])
    keys = [key for message in messages for key in message.get("keys", [])]
    return keys, [prefix for message in messages for prefix in message.get("prefixes", [])]
