"""One task in full: what every place knows of it, its attempts, its message, and the row that it is about."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from litestar import get
from litestar.exceptions import HTTPException
from litestar.params import FromPath

from emulator.dashboard.site import Site
from emulator.timeline import build, of_task
from runtime.commands.operator import replicas
from runtime.commands.task_details import details, subject_rows
from runtime.commands.task_reader import Task, Wanted, read
from runtime.services import Service

# Characters shown of one value of a row.
_LONG = 500


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


@get("/tasks/{id:uuid}", summary="One task: its message, rows, history, attempts and the row that it is about")
async def task(site: Site, id: FromPath[UUID]) -> dict[str, Any]:  # noqa: A002 - its name in the address
    environment = await site.environment()
    spans = site.collector.trace(str(id))
    # Once a task has ended well, its owner's row is gone: whose it was and what it was about, its trace knows.
    accepted = next(
        (one for one in spans if one["attributes"].get("task") == str(id) and one["kind"] == "enqueue"), None
    )
    owner = str(accepted["service"]) if accepted else ""
    subject = str(accepted["attributes"].get("subject", "")) if accepted else ""
    found = await asyncio.to_thread(_known, site, environment, str(id), owner, subject)
    if found is None:
        raise HTTPException(f"nothing is known of a task {id}", status_code=404)
    return found | {"timeline": of_task(build(spans), str(id))}


def _known(site: Site, environment: dict[str, str], id_: str, owner: str, subject: str) -> dict[str, Any] | None:
    with psycopg.connect(environment["MIGRATION_DB_URL"], autocommit=True, connect_timeout=2) as conn:
        places = details(conn, owners(site), journals(site), id_, message=True)
        listed = [task for task in read(conn, owners(site), journals(site), Wanted(text=id_)) if task.id == id_]
    history = places.pop("history")
    if not places and not history:
        return None
    messages = [row.pop("message") for row in places.values() if "message" in row]
    about = listed[0] if listed else None
    if about is not None:
        about.owner, about.subject = about.owner or owner, about.subject or subject
    found = {"task": about, "message": messages[0] if messages else None, "places": places, "history": history}
    return found | {"subject": _subject(site, environment, about) if about else []}


def _subject(site: Site, environment: dict[str, str], about: Task) -> list[dict[str, Any]]:
    """The rows of the owner's tables with the subject's id, as its own role sees them."""
    service = site.services.get(about.owner)
    if service is None or not about.subject:
        return []
    with psycopg.connect(environment[service.database.env], autocommit=True, connect_timeout=2) as conn:
        rows = subject_rows(conn, service.database.schema, about.subject)
    return [
        {"table": table, "row": {key: value if value is None else str(value)[:_LONG] for key, value in row.items()}}
        for table, row in rows.items()
    ]


HANDLERS: list[Any] = [task]
