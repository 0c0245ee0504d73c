"""The page Tasks: tasks with the stages they have reached, what waits over time, and what is done about either."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
import psycopg
from litestar import get, post
from litestar.exceptions import HTTPException
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import Struct

from emulator.dashboard.pages import task
from emulator.dashboard.pages.functions import resolved
from emulator.dashboard.pages.task import journals, owners, workers
from emulator.dashboard.site import Site
from emulator.process import StartError
from runtime.commands.task_reader import Task, Wanted, backlog, read
from shared import clock, supervision

# One reading a second, for ten minutes.
HISTORY = 600


class Backlog:
    """What waits, read each second while somebody looks: an idle system should be idle."""

    def __init__(self, site: Site) -> None:
        self.history: deque[dict[str, Any]] = deque(maxlen=HISTORY)
        self._site = site
        self._looked = 0.0
        self._looking = asyncio.Event()

    def look(self) -> None:
        """Somebody looks: for a minute from now a reading is taken each second."""
        self._looked = time.monotonic()
        self._looking.set()

    @contextlib.asynccontextmanager
    async def reading(self) -> AsyncIterator[None]:
        loop = supervision.task("dashboard-backlog", self._read)
        try:
            yield
        finally:
            await loop.stop()

    async def _read(self) -> None:
        while await self._looking.wait():
            with contextlib.suppress(StartError, psycopg.Error, OSError):
                self._site.follow_clock()
                dsn = (await self._site.environment())["MIGRATION_DB_URL"]
                self.history.append(await asyncio.to_thread(self._backlog, dsn))
            if time.monotonic() - self._looked > 60:
                self._looking.clear()
            await asyncio.sleep(1)

    def _backlog(self, dsn: str) -> dict[str, Any]:
        with psycopg.connect(dsn, autocommit=True, connect_timeout=2) as conn:
            return backlog(conn, owners(self._site), journals(self._site))


@get(
    "/tasks",
    summary="Tasks with their stages: failures, the oldest pending, the rest (?status=&service=&function=&q=&seconds=)",
)
async def tasks(
    site: Site,
    waits: Backlog,
    status: Annotated[Literal["", "pending", "success", "failure"], QueryParameter()] = "",
    service: Annotated[str, QueryParameter()] = "",
    function: Annotated[str, QueryParameter()] = "",
    q: Annotated[str, QueryParameter()] = "",
    seconds: Annotated[float, QueryParameter(ge=0, le=31_622_400)] = 0,
    limit: Annotated[int, QueryParameter(ge=1, le=500)] = 100,
) -> list[Task]:
    waits.look()
    site.follow_clock()
    since = clock.now() - timedelta(seconds=seconds) if seconds else None
    # A request's id is in no table; its trace's is.
    wanted = Wanted(status, service, function, site.collector.trace_of(q, ["request_id"]) or q, limit, since)

    return await asyncio.to_thread(_read, site, (await site.environment())["MIGRATION_DB_URL"], wanted)


def _read(site: Site, dsn: str, wanted: Wanted) -> list[Task]:
    with psycopg.connect(dsn, autocommit=True, connect_timeout=2) as conn:
        return read(conn, owners(site), journals(site), wanted)


@get("/backlog", summary="What waits where, over the last minutes")
async def waiting(waits: Backlog) -> list[dict[str, Any]]:
    waits.look()
    return list(waits.history)


@post("/tasks/{id:uuid}/{action:str}", status_code=200, summary="retry a task, or release it from quarantine")
async def task_action(site: Site, id: FromPath[UUID], action: FromPath[str]) -> dict[str, Any]:  # noqa: A002 - its name in the address
    if action not in ("retry", "release"):
        raise HTTPException("retry or release", status_code=404)
    return await site.eco2("tasks", action, str(id))


class Failures(Struct):
    """Which failed tasks are meant: all where a field is empty."""

    service: str = ""
    function: str = ""
    q: str = ""


@post("/tasks/retry", status_code=200, summary="Try all failed tasks again, or those of a service, a function, a text")
async def retry_all(site: Site, data: JSONBody[Failures]) -> dict[str, Any]:
    words = ["--worker", data.service] if data.service else []
    words += ["--function", data.function] if data.function else []
    words += [f"--search={site.collector.trace_of(data.q, ['request_id']) or data.q}"] if data.q else []
    return await site.eco2("tasks", "retry", "--failed", *words)


class Sending(Struct):
    """A message for a queue function, and whose task it is."""

    function: str
    message: Any
    owner: str = ""


@get("/messages/{service:str}/{name:str}", summary="What the form of a queue function's message needs")
async def message_form(site: Site, service: FromPath[str], name: FromPath[str]) -> dict[str, Any]:
    done = await site.eco2("tasks", "form", "--", f"{service}/{name}")
    if not done["ok"]:
        raise HTTPException(done["said"].removeprefix("eco2 tasks: "), status_code=409)
    found: dict[str, Any] = msgspec.json.decode(done["said"])
    return {"schema": resolved(found["schema"], found), "about": found["about"], "owners": found["owners"]}


@post(
    "/messages",
    status_code=200,
    summary="Call a queue function by a message of your own; answers with its task and trace",
)
async def send_message(site: Site, data: JSONBody[Sending]) -> dict[str, Any]:
    owner = [f"--owner={data.owner}"] if data.owner else []
    body = msgspec.json.encode(data.message).decode()
    done = await site.eco2("tasks", "send", "--json", *owner, "--", data.function, body)
    if not done["ok"]:
        raise HTTPException(done["said"].removeprefix("eco2 tasks: "), status_code=409)
    sent: dict[str, Any] = msgspec.json.decode(done["said"], type=list[dict[str, Any]])[0]
    return sent


@post("/sync/{worker:str}", status_code=200, summary="Copy a worker's journal to PostgreSQL now")
async def sync(site: Site, worker: FromPath[str]) -> dict[str, Any]:
    if worker not in workers(site):
        raise HTTPException(f"there is no such worker: {' or '.join(workers(site))}", status_code=404)
    return await site.eco2("sync", worker, "--once")


HANDLERS: list[Any] = [tasks, *task.HANDLERS, retry_all, message_form, send_message, waiting, task_action, sync]
