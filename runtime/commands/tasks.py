"""`eco2 tasks`: what became of tasks, and another try for those that failed."""

import argparse
import sqlite3
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from runtime.commands import operator, task_reader
from runtime.journal import file
from shared import clock

_COLUMNS = ("task_id", "task_name", "worker", "status", "started_at", "completed_at", "error")

EXAMPLES = """\
eco2 tasks list --status failure --worker ai  # the latest failures
eco2 tasks show ID  # its outbox row, its journal, its history
eco2 tasks retry ID  # publish it now, or try a failed one again
eco2 tasks dead --json  # what an alarm would read
eco2 tasks quarantine  # rows that PostgreSQL refused, and why
eco2 tasks release ID  # once the cause is gone
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "What became of tasks: from PostgreSQL (tasks, the services' outboxes) and the journals of this machine."
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="list|show|retry|dead|quarantine|release")
    parsers = {
        "list": actions.add_parser("list", help="the latest tasks"),
        "show": actions.add_parser("show", help="everything that is known of one task"),
        "retry": actions.add_parser("retry", help="publish an open task now, or try a failed one again"),
        "dead": actions.add_parser("dead", help="tasks that failed within a week, and those that get no answer"),
        "quarantine": actions.add_parser("quarantine", help="journal rows that PostgreSQL refuses"),
        "release": actions.add_parser("release", help="have a quarantined row synced again"),
    }
    for name in ("show", "retry", "release"):
        parsers[name].add_argument("id", metavar="ID", help="the task's id")
    parsers["list"].add_argument("--status", choices=["pending", "success", "failure"], help="these alone")
    parsers["list"].add_argument("--worker", choices=["storage", "ai"], help="those of this worker alone")
    parsers["list"].add_argument("--limit", type=int, default=20, metavar="N", help="so many at most (default: 20)")
    for one in parsers.values():
        one.add_argument("--json", action="store_true", help="for programs")


def main(args: argparse.Namespace) -> int:
    try:
        with operator.connect() as conn:
            conn.row_factory = dict_row
            return int(_ACTIONS[args.action](conn, args))
    except (operator.NotConfigured, psycopg.Error, sqlite3.Error) as error:
        return operator.complain("tasks", error)


def _list(conn: psycopg.Connection[Any], args: argparse.Namespace) -> int:
    wanted = task_reader.Wanted(status=args.status or "", service=args.worker or "", limit=args.limit)
    found = task_reader.read(conn, operator.owners(), operator.journals(), wanted)
    latest = sorted(found, key=lambda task: task.began, reverse=True)[: args.limit]
    operator.show([_line(task) for task in latest], _COLUMNS, as_json=args.json)
    return 0


def _line(task: task_reader.Task) -> dict[str, Any]:
    worker, _, name = task.actor.partition("/")
    times = {"started_at": task.journalled, "completed_at": task.done}
    return {
        "task_id": task.id,
        "task_name": name,
        "worker": worker,
        "status": task.status,
        **times,
        "error": task.error,
    }


def _journalled(id_: str) -> list[tuple[str, dict[str, Any]]]:
    query = """
        SELECT task_id, task_name, status, started_at, completed_at, error, runs, run_id, result_hash, quarantine,
               synced_to_pg
        FROM local_tasks
        WHERE task_id = ?
        """
    return [
        (worker, row) for worker, path in operator.journals().items() for row in task_reader.rows(path, query, [id_])
    ]


def _show(conn: psycopg.Connection[Any], args: argparse.Namespace) -> int:
    task: dict[str, Any] = {"task_id": args.id}
    row = conn.execute(
        """
        SELECT task_name, worker_name AS worker, status, result, error, started_at, completed_at, synced_at,
               run_id, runs, result_hash, traceparent
        FROM tasks.task_results
        WHERE task_id = %s
        """,
        [args.id],
    ).fetchone()
    task |= {"in_tasks": row} if row else {}
    for service in operator.owners():
        for table in ("outbox", "failed_tasks"):
            open_ = _find(conn, service.database.schema, table, args.id)
            task |= {f"{service.database.schema}.{table}": open_} if open_ else {}
    task |= {f"journal of {worker}": found for worker, found in _journalled(args.id)}
    task["history"] = conn.execute(
        """
        SELECT timestamp, event_type, event_data
        FROM tasks.task_history
        WHERE task_id = %s
        ORDER BY timestamp, event_type
        """,
        [args.id],
    ).fetchall()
    if len(task) == 2 and not task["history"]:
        return operator.complain("tasks", LookupError(f"nothing is known of a task {args.id}"))
    if args.json:
        operator.show([task], (), as_json=True)
        return 0
    for part, what in task.items():
        if isinstance(what, dict):
            print(f"{part}:")
            for name, value in what.items():
                if value is not None:
                    print(f"  {name:<14} {value}")
        elif part == "history":
            print("history:")
            for event in what:
                print(f"  {event['timestamp']}  {event['event_type']:<9}  {event['event_data'] or ''}")
        else:
            print(f"task {what}")
    return 0


def _find(conn: psycopg.Connection[Any], schema: str, table: str, id_: str) -> dict[str, Any] | None:
    try:
        UUID(id_)
    except ValueError:
        return None
    # Without the message: it may hold a person's words.
    columns = "actor, reply, subject, created_at, attempts, retries"
    columns += ", due_at" if table == "outbox" else ", error_code, error_message, failed_at"
    found: dict[str, Any] | None = conn.execute(
        sql.SQL("SELECT {} FROM {} WHERE id = %s").format(sql.SQL(columns), sql.Identifier(schema, table)), [id_]
    ).fetchone()
    return found


def _retry(conn: psycopg.Connection[Any], args: argparse.Namespace) -> int:
    for service in operator.owners():
        schema = service.database.schema
        names = {"outbox": sql.Identifier(schema, "outbox"), "failed": sql.Identifier(schema, "failed_tasks")}
        values = {"id": args.id, "now": clock.now()}
        if _find(conn, schema, "outbox", args.id):
            with operator.writing(conn, service) as own:
                own.execute(sql.SQL(_PUBLISH_NOW).format(**names), values)
            print(f"{args.id} is still open: {service.name} publishes it again now")
            return 0
        if _find(conn, schema, "failed_tasks", args.id):
            with operator.writing(conn, service) as own:
                own.execute(sql.SQL(_TRY_AGAIN).format(**names), values)
            print(f"{args.id} had failed: {service.name} tries it again")
            return 0
    return operator.complain("tasks", LookupError(f"{args.id} is neither open nor among the failures of the last week"))


_PUBLISH_NOW = "UPDATE {outbox} SET due_at = %(now)s, attempts = 0 WHERE id = %(id)s"
# One retry more than the worker's journal knows: that is what lets a failed task run once more.
_TRY_AGAIN = """
WITH taken AS (
    DELETE FROM {failed}
    WHERE id = %(id)s
    RETURNING id, actor, message, reply, subject, traceparent, created_at, time_limit, retries
)
INSERT INTO {outbox} (id, actor, message, reply, subject, traceparent, created_at, time_limit, retries, due_at)
SELECT id, actor, message, reply, subject, traceparent, created_at, time_limit, retries + 1, %(now)s
FROM taken
"""


def _dead(conn: psycopg.Connection[Any], args: argparse.Namespace) -> int:
    rows: list[dict[str, Any]] = []
    for service in operator.owners():
        names = {"outbox": sql.Identifier(service.database.schema, "outbox")}
        names["failed"] = sql.Identifier(service.database.schema, "failed_tasks")
        found = conn.execute(
            sql.SQL(
                """
                SELECT id::text AS task_id, actor, attempts, failed_at AS at, error_code || ': ' || error_message AS why
                FROM {failed}
                UNION ALL
                SELECT id::text, actor, attempts, due_at, 'no answer yet'
                FROM {outbox}
                WHERE attempts >= 3
                ORDER BY at DESC
                LIMIT 1000
                """
            ).format(**names)
        ).fetchall()
        rows += [{**row, "owner": service.folder} for row in found]
    operator.show(rows, ("task_id", "owner", "actor", "attempts", "at", "why"), as_json=args.json)
    return 0


def _quarantine(conn: psycopg.Connection[Any], args: argparse.Namespace) -> int:
    rows = conn.execute(
        """
        SELECT task_id, task_name, worker_name AS worker, status, quarantined_at, reason
        FROM tasks.quarantine
        WHERE released_at IS NULL
        ORDER BY quarantined_at DESC
        LIMIT 1000
        """
    ).fetchall()
    operator.show(rows, ("task_id", "task_name", "worker", "status", "quarantined_at", "reason"), as_json=args.json)
    return 0


def _release(conn: psycopg.Connection[Any], args: argparse.Namespace) -> int:
    noted = conn.execute(
        "UPDATE tasks.quarantine SET released_at = %s WHERE task_id = %s AND released_at IS NULL",
        [clock.now(), args.id],
    ).rowcount
    released = 0
    for path in operator.journals().values():
        with file.written(path) as db:
            released += db.execute(
                "UPDATE local_tasks SET quarantine = NULL WHERE task_id = ? AND quarantine IS NOT NULL", [args.id]
            ).rowcount
            released += db.execute(
                "UPDATE local_events SET synced_to_pg = 0 WHERE task_id = ? AND synced_to_pg = -1", [args.id]
            ).rowcount
    if not noted and not released:
        return operator.complain("tasks", LookupError(f"{args.id} is not in quarantine"))
    print(f"{args.id} is released: the next cycle of its syncer takes it")
    return 0


_ACTIONS = {
    "list": _list,
    "show": _show,
    "retry": _retry,
    "dead": _dead,
    "quarantine": _quarantine,
    "release": _release,
}
