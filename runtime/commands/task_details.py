"""Everything that is known of one task, wherever it is kept: for `eco2 tasks show` and the dashboard."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from runtime.commands import task_reader
from runtime.services import Service

_RESULT = """
SELECT task_name, worker_name AS worker, status, result, error, started_at, completed_at, synced_at,
       run_id, runs, result_hash, traceparent
FROM tasks.task_results
WHERE task_id = %s
"""
_HISTORY = """
SELECT timestamp, event_type, event_data
FROM tasks.task_history
WHERE task_id = %s
ORDER BY timestamp, event_type
"""
_JOURNALLED = """
SELECT task_id, task_name, status, started_at, completed_at, error, runs, run_id, result_hash, quarantine,
       synced_to_pg
FROM local_tasks
WHERE task_id = ?
"""
_TABLES = """
SELECT table_name
FROM information_schema.columns
WHERE table_schema = %s AND column_name = 'id' AND data_type = 'uuid' AND table_name NOT IN ('outbox', 'failed_tasks')
ORDER BY table_name
"""


def details(
    conn: psycopg.Connection[Any], owners: Sequence[Service], journals: Mapping[str, Path], id_: str, *, message: bool
) -> dict[str, Any]:
    """The rows by where they are (`in_tasks`, `waste.outbox`, `journal of ai`), and `history`.

    Args:
        message: with the task's message too, which may hold a person's words; it is kept until the task has ended well.
    """
    with conn.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(_RESULT, [id_]).fetchone()
        found: dict[str, Any] = {"in_tasks": row} if row else {}
        for service in owners:
            for table in ("outbox", "failed_tasks"):
                open_ = find(conn, service.database.schema, table, id_, message=message)
                found |= {f"{service.database.schema}.{table}": open_} if open_ else {}
        for worker, path in journals.items():
            for journalled in task_reader.rows(path, _JOURNALLED, [id_]):
                found[f"journal of {worker}"] = journalled
        found["history"] = cursor.execute(_HISTORY, [id_]).fetchall()
    return found


def find(
    conn: psycopg.Connection[Any], schema: str, table: str, id_: str, *, message: bool = False
) -> dict[str, Any] | None:
    """A task's row in an owner's `outbox` or `failed_tasks`; None where it is not there."""
    try:
        UUID(id_)
    except ValueError:
        return None
    columns = ["actor", "reply", "subject", "created_at", "attempts", "retries"]
    columns += ["due_at"] if table == "outbox" else ["error_code", "error_message", "failed_at"]
    columns += ["message"] if message else []
    query = sql.SQL("SELECT {} FROM {} WHERE id = %s").format(
        sql.SQL(", ").join(map(sql.Identifier, columns)), sql.Identifier(schema, table)
    )
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, [id_]).fetchone()


def subject_rows(conn: psycopg.Connection[Any], schema: str, subject: str) -> dict[str, dict[str, Any]]:
    """The rows of a schema's tables that have this id, by `schema.table`."""
    found: dict[str, dict[str, Any]] = {}
    tables = [name for (name,) in conn.execute(_TABLES, [schema]).fetchall()]
    with conn.cursor(row_factory=dict_row) as cursor:
        for table in tables:
            query = sql.SQL("SELECT * FROM {} WHERE id = %s").format(sql.Identifier(schema, table))
            if row := cursor.execute(query, [subject]).fetchone():
                found[f"{schema}.{table}"] = row
    return found
