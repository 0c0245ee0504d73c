"""`eco2 tasks`: what became of tasks, and another try for those that failed."""

import argparse
import sqlite3
import sys
from typing import Any
from uuid import UUID

import msgspec
import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from runtime.commands import operator, tables, task_reader, task_sender
from runtime.commands.task_details import details, find
from runtime.commands.task_reader import Wanted
from runtime.journal import file
from runtime.loader import LoadError
from runtime.services import ServiceError
from shared import clock

_NONE_DEAD = "no task failed within a week, and none gets no answer"
_COLUMNS = ("task_id", "task_name", "worker", "status", "started_at", "completed_at", "error")

EXAMPLES = """\
eco2 tasks list --status failure --worker ai  # the latest failures
eco2 tasks show ID  # its outbox row, its journal, its history
eco2 tasks retry ID  # publish it now, or try a failed one again
eco2 tasks retry --failed --worker ai  # all failures of a worker
eco2 tasks send storage/delete_objects '{"keys": ["images/x"]}'  # call a queue function by hand
eco2 tasks form storage/delete_objects  # what its message looks like
eco2 tasks dead --json  # what an alarm would read
eco2 tasks quarantine  # rows that PostgreSQL refused, and why
eco2 tasks release ID  # once the cause is gone
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "What became of tasks: from PostgreSQL (tasks, the services' outboxes) and the journals of this machine."
    )
    actions = parser.add_subparsers(
        dest="action", required=True, metavar="list|show|retry|dead|quarantine|release|send|form"
    )
    parsers = {
        "list": actions.add_parser("list", help="the latest tasks"),
        "show": actions.add_parser("show", help="everything that is known of one task"),
        "retry": actions.add_parser("retry", help="publish an open task now, or try a failed one again"),
        "dead": actions.add_parser("dead", help="tasks that failed within a week, and those that get no answer"),
        "quarantine": actions.add_parser("quarantine", help="journal rows that PostgreSQL refuses"),
        "release": actions.add_parser("release", help="have a quarantined row synced again"),
        "send": actions.add_parser("send", help="call a queue function by a message of your own"),
        "form": actions.add_parser("form", help="what a queue function's message looks like (JSON Schema)"),
    }
    for name in ("show", "release"):
        parsers[name].add_argument("id", metavar="ID", help="the task's id, or its beginning or end")
    retry = parsers["retry"]
    retry.add_argument("ids", nargs="*", metavar="ID", help="the tasks' ids, or their beginnings or ends")
    retry.add_argument("--failed", action="store_true", help="all that have failed, or those of them that fit:")
    retry.add_argument("--worker", metavar="SERVICE", help="tasks that this service works on")
    retry.add_argument("--function", metavar="NAME", help="tasks of this function")
    retry.add_argument("--search", metavar="TEXT", help="tasks with this in their ids or error")
    retry.add_argument("--limit", type=operator.number, default=500, metavar="N", help="so many at most (default: 500)")
    for name in ("send", "form"):
        parsers[name].add_argument("function", metavar="SERVICE/FUNCTION", help="as `eco2 functions` names it")
    send = parsers["send"]
    send.add_argument("message", metavar="JSON", help="the message, as `eco2 tasks form` describes it; - reads it")
    send.add_argument("--owner", metavar="SERVICE", help="whose task it is (default: the first that may)")
    send.add_argument("--subject", type=UUID, metavar="ID", help="the row that it is about (default: a new id)")
    parsers["list"].add_argument("--status", choices=["pending", "success", "failure"], help="these alone")
    parsers["list"].add_argument("--worker", choices=["storage", "ai"], help="those of this worker alone")
    parsers["list"].add_argument(
        "--limit", type=operator.number, default=20, metavar="N", help="so many at most (default: 20)"
    )
    for one in parsers.values():
        one.add_argument("--json", action="store_true", help="for programs")


def main(args: argparse.Namespace) -> int:
    try:
        with operator.connect() as conn:
            conn.row_factory = dict_row
            return int(_ACTIONS[args.action](conn, args))
    except (operator.Unknown, operator.NotConfigured, ServiceError, LoadError, psycopg.Error, sqlite3.Error) as error:
        return operator.complain("tasks", error)


def _list(conn: psycopg.Connection[Any], args: argparse.Namespace) -> int:
    wanted = task_reader.Wanted(status=args.status or "", service=args.worker or "", limit=args.limit)
    found = task_reader.read(conn, operator.owners(), operator.journals(), wanted)
    latest = sorted(found, key=lambda task: task.began, reverse=True)[: args.limit]
    tables.show([_line(task) for task in latest], _COLUMNS, as_json=args.json, empty="no task fits")
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


def _show(conn: psycopg.Connection[Any], args: argparse.Namespace) -> int:
    id_ = _whole(conn, args.id)
    # Without the message: it may hold a person's words.
    found = details(conn, operator.owners(), operator.journals(), id_, message=False)
    if found == {"history": []}:
        raise operator.Unknown(f"nothing is known of a task {args.id}")
    task = {"task_id": id_} | found
    if args.json:
        tables.show([task], (), as_json=True)
        return 0
    for part, what in task.items():
        if isinstance(what, dict):
            print(f"{part}:")
            for name, value in what.items():
                if value is not None:
                    print(f"  {name:<14} {value}")
        elif part == "history":
            print("history:" if what else "history: none yet, it comes with the journal's next sync")
            for event in what:
                print(f"  {event['timestamp']}  {event['event_type']:<9}  {event['event_data'] or ''}")
        else:
            print(f"task {what}")
    return 0


def _whole(conn: psycopg.Connection[Any], part: str) -> str:
    return task_reader.whole(conn, operator.owners(), operator.journals(), part)


def _retry(conn: psycopg.Connection[Any], args: argparse.Namespace) -> int:
    ids = [_whole(conn, id_) for id_ in args.ids]
    if args.failed:
        wanted = Wanted("failure", args.worker or "", args.function or "", args.search or "", args.limit)
        ids += [task.id for task in task_reader.read(conn, operator.owners(), operator.journals(), wanted)]
    if not ids:
        raise operator.Unknown("no failed task fits" if args.failed else "name a task, or say --failed")
    done = [_retry_one(conn, id_) for id_ in ids]
    if len(ids) > 1:
        print(f"{sum(done)} of {len(ids)} are tried again")
    if len(ids) == 1 and not done[0]:
        raise operator.Unknown(f"{ids[0]} is neither open nor among the failures of the last week")
    return 0 if all(done) else 1


def _retry_one(conn: psycopg.Connection[Any], id_: str) -> bool:
    for service in operator.owners():
        schema = service.database.schema
        names = {"outbox": sql.Identifier(schema, "outbox"), "failed": sql.Identifier(schema, "failed_tasks")}
        values = {"id": id_, "now": clock.now()}
        if find(conn, schema, "outbox", id_):
            with operator.writing(conn, service) as own:
                own.execute(sql.SQL(_PUBLISH_NOW).format(**names), values)
            print(f"{id_} is still open: {service.name} publishes it again now")
            return True
        if find(conn, schema, "failed_tasks", id_):
            with operator.writing(conn, service) as own:
                own.execute(sql.SQL(_TRY_AGAIN).format(**names), values)
            print(f"{id_} had failed: {service.name} tries it again")
            return True
    return False


def _send(conn: psycopg.Connection[Any], args: argparse.Namespace) -> int:
    body = sys.stdin.buffer.read() if args.message == "-" else args.message.encode()
    id_, trace = task_sender.send(conn, args.function, body, args.owner or "", args.subject)
    if args.json:
        tables.show([{"id": str(id_), "trace": trace}], (), as_json=True)
    else:
        print(f"{id_} is accepted; `eco2 trace {id_}` shows what becomes of it")
    return 0


def _form(conn: psycopg.Connection[Any], args: argparse.Namespace) -> int:
    print(msgspec.json.format(msgspec.json.encode(task_sender.form(args.function)), indent=2).decode())
    return 0


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
    tables.show(rows, ("task_id", "owner", "actor", "attempts", "at", "why"), as_json=args.json, empty=_NONE_DEAD)
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
    columns = ("task_id", "task_name", "worker", "status", "quarantined_at", "reason")
    tables.show(rows, columns, as_json=args.json, empty="no row is in quarantine")
    return 0


def _release(conn: psycopg.Connection[Any], args: argparse.Namespace) -> int:
    id_ = _whole(conn, args.id)
    noted = conn.execute(
        "UPDATE tasks.quarantine SET released_at = %s WHERE task_id = %s AND released_at IS NULL",
        [clock.now(), id_],
    ).rowcount
    released = 0
    for path in operator.journals().values():
        with file.written(path) as db:
            released += db.execute(
                "UPDATE local_tasks SET quarantine = NULL WHERE task_id = ? AND quarantine IS NOT NULL", [id_]
            ).rowcount
            released += db.execute(
                "UPDATE local_events SET synced_to_pg = 0 WHERE task_id = ? AND synced_to_pg = -1", [id_]
            ).rowcount
    if not noted and not released:
        raise operator.Unknown(f"{id_} is not in quarantine")
    print(f"{id_} is released: the next cycle of its syncer takes it")
    return 0


_ACTIONS = {
    "list": _list,
    "show": _show,
    "retry": _retry,
    "dead": _dead,
    "quarantine": _quarantine,
    "release": _release,
    "send": _send,
    "form": _form,
}
