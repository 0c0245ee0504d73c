"""Each task's way: accepted, published, journalled, done, returned, synced; and how much waits where, over time."""

import contextlib
import sqlite3
import time
from collections import deque
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from runtime.services import Service

# One reading a second, for ten minutes.
HISTORY = 600


class Journeys:
    """Reads the outboxes and `tasks` as their owner, and the journals as files; changes nothing."""

    def __init__(self, services: dict[str, Service], state: Path, environ: dict[str, str]) -> None:
        self.owners = [service for service in services.values() if not service.is_worker]
        self.workers = [service for service in services.values() if service.is_worker]
        self.state = state
        self.environ = environ
        self.history: deque[dict[str, Any]] = deque(maxlen=HISTORY)

    def _journal(self, worker: Service) -> Path:
        return self.state / "journals" / worker.folder / "worker.db"

    def _rows(self, worker: Service, query: str, *values: Any) -> list[dict[str, Any]]:
        path = self._journal(worker)
        if not path.exists():
            return []
        with contextlib.closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=2)) as db:
            db.row_factory = sqlite3.Row
            return [dict(row) for row in db.execute(query, values)]

    def recent(self, limit: int) -> list[dict[str, Any]]:
        """The latest tasks, newest first, each with the stages it has reached."""
        found: dict[str, dict[str, Any]] = {}
        with psycopg.connect(self.environ["MIGRATION_DB_URL"], autocommit=True, connect_timeout=2) as conn:
            conn.row_factory = dict_row  # type: ignore[assignment]
            for owner in self.owners:
                for table, extra in (("outbox", "published_to"), ("failed_tasks", "error_code")):
                    query = sql.SQL(
                        """
                        SELECT id::text AS id, actor, created_at, attempts, {} AS extra
                        FROM {}
                        ORDER BY created_at DESC
                        LIMIT %s
                        """
                    ).format(sql.Identifier(extra), sql.Identifier(owner.database.schema, table))
                    rows: list[dict[str, Any]] = conn.execute(query, [limit]).fetchall()  # type: ignore[assignment]
                    for row in rows:
                        task = found.setdefault(row["id"], {"id": row["id"], "actor": row["actor"]})
                        task |= {"owner": owner.folder, "accepted": row["created_at"], "attempts": row["attempts"]}
                        if table == "outbox":
                            task |= {"open": True, "published": bool(row["extra"])}
                        else:
                            task |= {"open": False, "failed_at_owner": row["extra"]}
            synced: list[dict[str, Any]] = conn.execute(  # type: ignore[assignment]
                """
                SELECT task_id, task_name, worker_name, status, started_at, completed_at, synced_at, error
                FROM tasks.task_results
                ORDER BY started_at DESC
                LIMIT %s
                """,
                [limit],
            ).fetchall()
            for row in synced:
                task = found.setdefault(row["task_id"], {"id": row["task_id"]})
                task.setdefault("actor", f"{row['worker_name']}/{row['task_name']}")
                task |= {"synced": row["synced_at"], "status": row["status"], "error": row["error"]}
                task |= {"journalled": row["started_at"], "done": row["completed_at"]}
        for worker in self.workers:
            query_text = """
                SELECT task_id, task_name, status, started_at, completed_at, error, synced_to_pg, quarantine, runs,
                       traceparent
                FROM local_tasks
                ORDER BY started_at DESC
                LIMIT ?
                """
            for row in self._rows(worker, query_text, limit):
                task = found.setdefault(row["task_id"], {"id": row["task_id"]})
                task["actor"] = f"{worker.folder}/{row['task_name']}"
                task |= {"status": row["status"], "journalled": row["started_at"], "done": row["completed_at"]}
                task |= {"error": row["error"], "runs": row["runs"], "quarantine": row["quarantine"]}
                task |= {"trace": (row["traceparent"] or "")[3:35], "in_tasks": bool(row["synced_to_pg"])}
        tasks = [self._staged(task) for task in found.values()]
        tasks.sort(key=lambda task: str(task.get("accepted") or task.get("journalled") or ""), reverse=True)
        return tasks[:limit]

    @staticmethod
    def _staged(task: dict[str, Any]) -> dict[str, Any]:
        open_ = task.get("open")
        stages = {
            "accepted": True,
            "published": bool(task.get("published")) or bool(task.get("journalled")) or open_ is not True,
            "journalled": bool(task.get("journalled")),
            "done": task.get("status") in ("success", "failure"),
            "returned": not open_ and task.get("status") in ("success", "failure"),
            "synced": bool(task.get("synced")) and task.get("in_tasks", True),
        }
        return task | {"stages": stages}

    def backlog(self) -> dict[str, Any]:
        """What waits now: open tasks by owner, unsynced rows and the age of the oldest by journal, quarantined rows."""
        now: dict[str, Any] = {"at": time.time(), "outbox": {}, "journal": {}, "age": {}, "quarantine": {}}
        with psycopg.connect(self.environ["MIGRATION_DB_URL"], autocommit=True, connect_timeout=2) as conn:
            for owner in self.owners:
                table = sql.Identifier(owner.database.schema, "outbox")
                row = conn.execute(sql.SQL("SELECT count(*) FROM {}").format(table)).fetchone()
                now["outbox"][owner.folder] = row[0] if row else 0
        for worker in self.workers:
            rows = self._rows(
                worker,
                """
                SELECT count(*) AS waiting, coalesce(max((julianday('now') - julianday(changed_at)) * 86400), 0) AS age,
                       count(quarantine) AS quarantined
                FROM local_tasks
                WHERE synced_to_pg = 0
                """,
            )
            for row_ in rows:
                now["journal"][worker.folder] = row_["waiting"]
                now["age"][worker.folder] = max(0.0, row_["age"])
                now["quarantine"][worker.folder] = row_["quarantined"]
        return now
