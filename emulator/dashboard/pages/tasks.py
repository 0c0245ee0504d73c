"""The page Tasks: tasks with the stages they have reached, what waits over time, and what is done about either."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

import psycopg
from litestar import get, post
from litestar.exceptions import HTTPException
from litestar.params import FromPath, QueryParameter

from emulator.dashboard.site import Site
from emulator.process import StartError
from runtime.commands.operator import replicas
from runtime.commands.task_reader import Task, Wanted, backlog, read
from runtime.services import Service

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
        task = asyncio.create_task(self._read())
        try:
            yield
        finally:
            task.cancel()

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


def owners(site: Site) -> list[Service]:
    """The services that accept tasks."""
    return [service for service in site.services.values() if not service.is_worker]


def journals(site: Site) -> dict[str, Path]:
    """Each worker's journal, replicas' too."""
    found: dict[str, Path] = {}
    for folder in workers(site):
        found |= replicas(folder, site.state.path / "journals" / folder / "worker.db")
    return found


def workers(site: Site) -> list[str]:
    return [service.folder for service in site.services.values() if service.is_worker]


@get(
    "/tasks", summary="Tasks with their stages: failures, the oldest pending, the rest (?status=&service=&function=&q=)"
)
async def tasks(
    site: Site,
    waits: Backlog,
    status: Annotated[Literal["", "pending", "success", "failure"], QueryParameter()] = "",
    service: Annotated[str, QueryParameter()] = "",
    function: Annotated[str, QueryParameter()] = "",
    q: Annotated[str, QueryParameter()] = "",
    limit: Annotated[int, QueryParameter(ge=1, le=500)] = 100,
) -> list[Task]:
    waits.look()
    dsn = (await site.environment())["MIGRATION_DB_URL"]
    # A request's id is in no table; its trace's is.
    wanted = Wanted(status, service, function, site.collector.trace_of(q, ["request_id"]) or q, limit)

    def find() -> list[Task]:
        with psycopg.connect(dsn, autocommit=True, connect_timeout=2) as conn:
            return read(conn, owners(site), journals(site), wanted)

    return await asyncio.to_thread(find)


@get("/backlog", summary="What waits where, over the last minutes")
async def waiting(waits: Backlog) -> list[dict[str, Any]]:
    waits.look()
    return list(waits.history)


@post("/tasks/{task:uuid}/{action:str}", status_code=200, summary="retry a task, or release it from quarantine")
async def task_action(site: Site, task: FromPath[UUID], action: FromPath[str]) -> dict[str, Any]:
    if action not in ("retry", "release"):
        raise HTTPException("retry or release", status_code=404)
    return await site.eco2("tasks", action, str(task))


@post("/sync/{worker:str}", status_code=200, summary="Copy a worker's journal to PostgreSQL now")
async def sync(site: Site, worker: FromPath[str]) -> dict[str, Any]:
    if worker not in workers(site):
        raise HTTPException(f"there is no such worker: {' or '.join(workers(site))}", status_code=404)
    return await site.eco2("sync", worker, "--once")


HANDLERS: list[Any] = [tasks, waiting, task_action, sync]
