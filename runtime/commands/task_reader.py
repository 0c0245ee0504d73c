"""The one reader of tasks, for `eco2 tasks` and the dashboard: owners' outboxes, `tasks` and the journals of this machine.

First it looks in every place for the ids that fit, then it reads what every place knows of these ids. A time is compared as
a time: PostgreSQL has it without a zone, a journal as text, and older journals write it otherwise.
"""

import contextlib
import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import psycopg
from msgspec import Struct
from psycopg import sql
from psycopg.rows import dict_row

from runtime.commands import operator
from runtime.journal import file
from runtime.services import Service
from shared import clock

Status = Literal["pending", "success", "failure"]
STATUSES: tuple[Status, ...] = ("failure", "pending", "success")
# A backlog of more is said to be so many: to count all of it, again and again, would read it.
COUNTED = 100_000
# Below this an id's beginning or end is not looked up.
_SHORTEST = 6
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


class Wanted(Struct, frozen=True):
    """Which tasks: all where a field is empty; `limit` tasks of each status at most. `text` is looked for in ids and errors."""

    status: str = ""
    service: str = ""  # that works on it
    function: str = ""
    text: str = ""
    limit: int = 100
    since: datetime | None = None  # accepted or taken up from then on


class Task(Struct, kw_only=True):
    """What all places together know of a task. `stages` says which of its stages it has reached."""

    id: str
    actor: str = ""
    owner: str = ""
    subject: str = ""
    trace: str = ""
    status: Status = "pending"
    error: str | None = None
    accepted: datetime | None = None
    journalled: datetime | None = None
    done: datetime | None = None
    synced: datetime | None = None
    open: bool = False
    attempts: int = 0
    retries: int = 0
    runs: int = 0
    failed_at_owner: str = ""
    quarantine: str | None = None
    stages: dict[str, bool] = {}

    @property
    def began(self) -> datetime:
        """When it was accepted, or the first that is known of it."""
        return self.accepted or self.journalled or _LONG_AGO


def moment(value: Any) -> datetime | None:
    """A time of PostgreSQL's or a journal's, aware, in UTC; None where there is none."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if not isinstance(value, datetime):
        return None
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def read(
    conn: psycopg.Connection[Any], owners: Sequence[Service], journals: Mapping[str, Path], wanted: Wanted
) -> list[Task]:
    """Failures first, the latest at the top; then what is pending, the oldest at the top; then the latest successes."""
    ids = [*_fitting_rows(conn, owners, wanted), *_fitting_journalled(journals, wanted)]
    found = {id_: Task(id=id_) for id_ in ids}
    _add_results(conn, found)
    _add_journals(journals, found)
    _add_owners(conn, owners, found)
    for task in found.values():
        task.stages = _stages(task)
    listed: list[Task] = []
    for status in STATUSES if not wanted.status else (wanted.status,):
        alike = [task for task in found.values() if task.status == status and _named(task, wanted)]
        alike.sort(key=lambda task: task.began, reverse=status != "pending")
        listed += alike[: wanted.limit]
    return listed


def whole(conn: psycopg.Connection[Any], owners: Sequence[Service], journals: Mapping[str, Path], part: str) -> str:
    """The one task's id that begins or ends as given, as lists show it (`…336cba36`); what is no part of any as it is.

    Raises:
        operator.Unknown: several tasks fit.
    """
    part = part.strip("…").lower()
    if len(part) < _SHORTEST or _uuid(part):
        return part
    wanted = Wanted(text=part, limit=500)
    ids = {*_fitting_rows(conn, owners, wanted), *_fitting_journalled(journals, wanted)}
    fitting = sorted(id_ for id_ in ids if id_.startswith(part) or id_.endswith(part))
    if len(fitting) > 1:
        raise operator.Unknown(
            f"{len(fitting)} tasks fit {part}: {', '.join(fitting[:3])}{', …' if fitting[3:] else ''}"
        )
    return fitting[0] if fitting else part


def _named(task: Task, wanted: Wanted) -> bool:
    service, _, function = task.actor.partition("/")
    return wanted.service in ("", service) and wanted.function in ("", function)


def _values(wanted: Wanted, status: str) -> dict[str, Any]:
    return {
        "status": status,
        "service": wanted.service,
        "function": wanted.function,
        "text": wanted.text.lower(),
        "limit": wanted.limit,
        "since": wanted.since or _LONG_AGO,
    }


def _fitting_rows(conn: psycopg.Connection[Any], owners: Sequence[Service], wanted: Wanted) -> Iterable[str]:
    results = """
        SELECT task_id AS id
        FROM tasks.task_results
        WHERE status = %(status)s
            AND started_at >= %(since)s AT TIME ZONE 'UTC'
            AND %(service)s IN ('', worker_name)
            AND %(function)s IN ('', task_name)
            AND position(%(text)s IN lower(concat_ws(' ', task_id, worker_name || '/' || task_name, error, traceparent))) > 0
        ORDER BY {age}
        LIMIT %(limit)s
        """
    accepted = """
        SELECT id::text AS id
        FROM {table}
        WHERE created_at >= %(since)s
            AND %(service)s IN ('', split_part(actor, '/', 1))
            AND %(function)s IN ('', split_part(actor, '/', 2))
            AND position(%(text)s IN lower(concat_ws(' ', id, actor, subject, traceparent, {error}))) > 0
        ORDER BY {age}
        LIMIT %(limit)s
        """
    tables = (
        ("pending", "outbox", "NULL", "id"),  # which begins with the time, and has an index
        ("failure", "failed_tasks", "error_code || ' ' || error_message", "failed_at DESC"),
    )
    with conn.cursor(row_factory=dict_row) as cursor:
        for status in [wanted.status] if wanted.status else STATUSES:
            age = "started_at" if status == "pending" else "started_at DESC"
            cursor.execute(sql.SQL(results).format(age=sql.SQL(age)), _values(wanted, status))
            yield from [row["id"] for row in cursor]
            for owner in owners:
                for of, table, error, order in tables:
                    if of == status:
                        name = sql.Identifier(owner.database.schema, table)
                        query = sql.SQL(accepted).format(table=name, error=sql.SQL(error), age=sql.SQL(order))
                        cursor.execute(query, _values(wanted, status))
                        yield from [row["id"] for row in cursor]


def _fitting_journalled(journals: Mapping[str, Path], wanted: Wanted) -> Iterable[str]:
    # By rowid, the order in which tasks came: a journal's times are text of two forms, and to sort them all must be read.
    query = """
        SELECT task_id AS id
        FROM local_tasks
        WHERE status = :status
            AND julianday(started_at) >= julianday(:since)
            AND :function IN ('', task_name)
            AND instr(lower(task_id || ' ' || :worker || '/' || task_name || ' ' || coalesce(error, '') || ' '
                            || coalesce(traceparent, '')), :text) > 0
        ORDER BY rowid {direction}
        LIMIT :limit
        """
    for name, path in journals.items():
        worker, _, _ = name.partition("/")  # `ai/2` is a replica
        if wanted.service in ("", worker):
            for status in [wanted.status] if wanted.status else STATUSES:
                values = _values(wanted, status) | {"worker": worker}
                values["since"] = values["since"].isoformat()
                yield from [
                    row["id"]
                    for row in rows(path, query.format(direction="ASC" if status == "pending" else "DESC"), values)
                ]


def _add_results(conn: psycopg.Connection[Any], found: dict[str, Task]) -> None:
    with conn.cursor(row_factory=dict_row) as cursor:
        cursor.execute(
            """
            SELECT task_id, task_name, worker_name, status, started_at, completed_at, synced_at, error, runs, traceparent
            FROM tasks.task_results
            WHERE task_id = ANY(%s)
            """,
            [list(found)],
        )
        for row in cursor:
            task = found[row["task_id"]]
            _took_up(task, row["worker_name"], row)
            task.synced = moment(row["synced_at"])


def _add_journals(journals: Mapping[str, Path], found: dict[str, Task]) -> None:
    query = """
        SELECT task_id, task_name, status, started_at, completed_at, error, synced_to_pg, quarantine, runs, retries,
               traceparent
        FROM local_tasks
        WHERE task_id IN (SELECT value FROM json_each(?))
        """
    for worker, path in journals.items():
        for row in rows(path, query, [json.dumps(list(found))]):
            task = found[row["task_id"]]
            _took_up(task, worker.partition("/")[0], row)  # a journal knows more than the last sync
            task.quarantine, task.retries = row["quarantine"], row["retries"]
            task.synced = task.synced if row["synced_to_pg"] == 1 else None


def _took_up(task: Task, worker: str, row: Mapping[str, Any]) -> None:
    task.actor = f"{worker}/{row['task_name']}"
    task.status, task.error, task.runs = row["status"], row["error"], row["runs"] or 0
    task.journalled, task.done = moment(row["started_at"]), moment(row["completed_at"])
    task.trace = (row["traceparent"] or "")[3:35] or task.trace


def _add_owners(conn: psycopg.Connection[Any], owners: Sequence[Service], found: dict[str, Task]) -> None:
    query = sql.SQL(
        """
        SELECT id::text, actor, subject::text, traceparent, created_at, attempts, retries, '' AS failed, TRUE AS open,
               NULL AS error, published_to IS NOT NULL AS published
        FROM {outbox}
        WHERE id = ANY(%(ids)s)
        UNION ALL
        SELECT id::text, actor, subject::text, traceparent, created_at, attempts, retries, error_code, FALSE,
               error_message, TRUE
        FROM {failed}
        WHERE id = ANY(%(ids)s)
        """
    )
    ids = [id_ for text in found if (id_ := _uuid(text))]
    with conn.cursor(row_factory=dict_row) as cursor:
        for owner in owners:
            schema = owner.database.schema
            tables = {"outbox": sql.Identifier(schema, "outbox"), "failed": sql.Identifier(schema, "failed_tasks")}
            for row in cursor.execute(query.format(**tables), {"ids": ids}).fetchall():
                task = found[row["id"]]
                task.actor, task.owner, task.subject = row["actor"], owner.folder, row["subject"]
                task.trace = (row["traceparent"] or "")[3:35] or task.trace
                task.accepted, task.attempts, task.open = moment(row["created_at"]), row["attempts"], row["open"]
                task.stages = {"published": row["published"]}
                if row["failed"]:
                    task.status, task.failed_at_owner, task.error = "failure", row["failed"], task.error or row["error"]
                elif task.journalled and row["retries"] > task.retries:
                    task.status = "pending"  # an operator tries it again: what the journal knows is of the time before


def _stages(task: Task) -> dict[str, bool]:
    ended = task.status != "pending"
    return {
        "accepted": True,
        "published": task.stages.get("published", True) or task.journalled is not None,
        "journalled": task.journalled is not None,
        "done": ended,
        "returned": ended and not task.open,
        "synced": task.synced is not None,
    }


def backlog(conn: psycopg.Connection[Any], owners: Sequence[Service], journals: Mapping[str, Path]) -> dict[str, Any]:
    """What waits now: open tasks by owner; by journal its rows not yet in PostgreSQL, the age of the oldest (s), and those
    in quarantine. By the system's clock, which may be moved."""
    now: dict[str, Any] = {"at": clock.time(), "outbox": {}, "journal": {}, "age": {}, "quarantine": {}}
    with conn.cursor() as cursor:
        for owner in owners:
            table = sql.Identifier(owner.database.schema, "outbox")
            counted = sql.SQL("SELECT count(*) FROM (SELECT FROM {} LIMIT {}) AS waiting").format(table, COUNTED)
            row = cursor.execute(counted).fetchone()
            now["outbox"][owner.folder] = row[0] if row else 0
    query = """
        SELECT count(*) AS waiting, count(quarantine) AS quarantined,
               coalesce(max((julianday(:now) - julianday(changed_at)) * 86400), 0) AS age
        FROM local_tasks
        WHERE synced_to_pg = 0
        """
    for worker, path in journals.items():
        for found in rows(path, query, {"now": clock.now().isoformat()}):
            now["journal"][worker] = found["waiting"]
            now["age"][worker] = max(0.0, found["age"])
            now["quarantine"][worker] = found["quarantined"]
    return now


def rows(path: Path, query: str, values: Any = ()) -> list[dict[str, Any]]:
    """What a journal's file answers, read beside its worker; nothing where there is no file yet."""
    if not path.exists():
        return []
    with contextlib.closing(file.open_file(path, readonly=True)) as db:
        db.row_factory = sqlite3.Row
        return [dict(row) for row in db.execute(query, values)]


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
