"""Draining a journal's backlog into PostgreSQL, beside a plain client COPY of the same rows into the same tables.

The rows of `task_results` and the events of `task_history` that follow from them: COPY gets both ready-made.
"""

import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from emulator.servers.postgres import Postgres
from runtime import migrate
from runtime.journal.journal import Journal
from runtime.journal.states import Ended, Start
from shared import clock
from shared.ids import new_id
from tests.peak import peak

ROWS = 200_000
ROUNDS = 3
# A file system that shares no disk with the journal's: memory.
OTHER_DISK = Path("/dev/shm")

_DRAIN = """
import os, sys, time
from pathlib import Path
from runtime.journal.drain import Syncer
from tests.peak import peak
os.nice(int(sys.argv[3]))  # as the syncer's process does
syncer = Syncer("storage", Path(sys.argv[1]), sys.argv[2])
begin = time.perf_counter()
done = syncer.cycle()
print(time.perf_counter() - begin, done.synced, peak() >> 20)
syncer.close()
"""


def fill(journal: Journal, rows: int) -> None:
    """Finished tasks, as a worker leaves them."""
    for first in range(0, rows, 1000):
        starts = [
            Start(
                str(new_id()),
                "process_photo",
                str(new_id()),
                clock.now().isoformat(),
                0,
                "00-" + "a" * 32 + "-" + "b" * 16 + "-01",
            )
            for _ in range(min(1000, rows - first))
        ]
        journal.begin(starts).result()
        record = '{"web_key":"images/%s/abcdef-web.jpg","width":1024,"height":768,"bytes":123456,"format":"jpeg"}'
        now = clock.now().isoformat()
        futures = [
            journal.end(Ended(s.task_id, s.run_id, "success", now, "0" * 64, record % s.task_id), s, now)
            for s in starts
        ]
        futures[-1].result()


def copy(conn: psycopg.Connection[Any]) -> float:
    """Seconds to COPY back what the drain has put there (read into memory before, the tables emptied)."""
    results = conn.execute("SELECT * FROM tasks.task_results").fetchall()
    history = conn.execute(
        "SELECT id, task_id, event_type, event_data::text, timestamp FROM tasks.task_history"
    ).fetchall()
    columns = [d.name for d in conn.execute("SELECT * FROM tasks.task_results LIMIT 0").description or ()]
    at = columns.index("result")
    texts = dict(conn.execute("SELECT id, result::text FROM tasks.task_results").fetchall())  # type: ignore[arg-type]  # each row has two columns
    ready = [(*row[:at], texts[row[0]], *row[at + 1 :]) for row in results]
    conn.execute("TRUNCATE tasks.task_results, tasks.task_history")
    conn.execute("CHECKPOINT")
    begin = time.perf_counter()
    cursor = conn.cursor()
    with cursor.copy(f"COPY tasks.task_results ({', '.join(columns)}) FROM STDIN") as out:
        for row in ready:
            out.write_row(row)
    with cursor.copy("COPY tasks.task_history (id, task_id, event_type, event_data, timestamp) FROM STDIN") as out:
        for row in history:
            out.write_row(row)
    seconds = time.perf_counter() - begin
    conn.execute("TRUNCATE tasks.task_results, tasks.task_history")
    return seconds


def drain(path: Path, dsn: str, nice: int = 0) -> tuple[float, int, int]:
    """Seconds, rows and the peak resident memory in MiB of a syncer process that starts with this backlog."""
    answer = subprocess.run(
        [sys.executable, "-c", _DRAIN, str(path), dsn, str(nice)], capture_output=True, text=True, check=True
    )
    seconds, synced, memory = answer.stdout.split()
    return float(seconds), int(synced), int(memory)


def commits(journal: Journal, seconds: float, stop: threading.Event | None = None) -> float:
    """The 99th percentile in milliseconds of a terminal commit by two threads."""
    times: list[float] = []

    def work() -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and not (stop and stop.is_set()):
            start = Start(str(new_id()), "x", str(new_id()), clock.now().isoformat())
            begin = time.perf_counter()
            journal.begin([start]).result()
            journal.end(
                Ended(start.task_id, start.run_id, "success", "2026-01-02T03:04:05+00:00", "h"), start, start.queued_at
            ).result()
            times.append(time.perf_counter() - begin)
            time.sleep(0.002)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return statistics.quantiles(times, n=100)[98] * 1000


@contextmanager
def cluster(folder: Path) -> Iterator[Postgres]:
    """A migrated PostgreSQL with its files in this folder."""
    server = Postgres(folder).start()
    try:
        migrate.prepare(server.superuser_dsn, server.state.passwords())
        migrate.apply(server.dsn("migrator"))
        yield server
    finally:
        server.destroy()


def beside(journal: Journal, server: Postgres, rows: int) -> tuple[float, float]:
    """The 99th percentile of a worker's task without and with a drain beside it, in milliseconds: medians of rounds in turn."""
    dsn = server.dsn("worker_role", search_path="tasks")
    alone, with_drain = [], []
    for _ in range(ROUNDS):
        drain(journal.path, dsn)
        alone.append(commits(journal, 3))
        fill(journal, rows)
        stop = threading.Event()
        other = threading.Thread(target=lambda stop=stop: (drain(journal.path, dsn, 5), stop.set()))
        other.start()
        with_drain.append(commits(journal, 30, stop))
        other.join()
    return statistics.median(alone), statistics.median(with_drain)


def run(rows: int = ROWS) -> list[dict[str, Any]]:
    """Speed, memory, and what the drain does to the worker's own commits, on one disk and on two."""
    p99: dict[str, tuple[float, float]] = {}
    with tempfile.TemporaryDirectory(prefix="eco2-bench-") as name:
        folder = Path(name)
        journal = Journal(folder / "worker.db")
        with cluster(folder) as server:
            fill(journal, rows)
            with psycopg.connect(server.dsn("postgres"), autocommit=True) as conn:
                ours, synced, memory = drain(journal.path, server.dsn("worker_role", search_path="tasks"))
                assert synced == rows
                raw = copy(conn)
            p99["on the journal's disk"] = beside(journal, server, rows // 10)
        if OTHER_DISK.is_dir():
            with (
                tempfile.TemporaryDirectory(prefix="eco2-bench-", dir=OTHER_DISK) as elsewhere,
                cluster(Path(elsewhere)) as server,
            ):
                p99["in memory: what is left without a shared disk"] = beside(journal, server, rows // 10)
        journal.close()
    return [
        {
            "name": f"drain of {rows:,} tasks with their history, beside COPY",
            "ours": round(rows / ours),
            "raw": round(rows / raw),
            "ratio": round(raw / ours, 2),
            "budget": ">= 0.7",
            "unit": "tasks/s",
        },
        {"name": "syncer's peak memory", "ours": memory, "raw": None, "ratio": None, "budget": "<= 100", "unit": "MiB"},
        *(
            {
                "name": f"p99 of a worker's task (two commits) while draining, beside without; PostgreSQL {where}",
                "ours": round(with_drain, 2),
                "raw": round(alone, 2),
                "ratio": round(with_drain / alone, 2),
                "budget": "<= 2" if where == "on the journal's disk" else "",
                "unit": "ms",
            }
            for where, (alone, with_drain) in p99.items()
        ),
    ]


if __name__ == "__main__":
    for row in run(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS):
        sys.stdout.write(f"{row}\n")
    sys.stdout.write(f"{peak() >> 20} MiB here\n")
