"""The journal alone, eight threads, beside the rawest group commit: a queue, one thread, one transaction, `synchronous=FULL`."""

import queue
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from runtime.journal.journal import Journal
from runtime.journal.schema import SEED
from runtime.journal.states import Ended, Start
from shared.ids import new_id

THREADS = 8
TASKS = 8000
ROUNDS = 3
_NOW = "2026-01-02T03:04:05.678901+00:00"


class Raw:
    """Group commit and nothing else, on the seed's table."""

    def __init__(self, path: Path) -> None:
        self.db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self.db.execute("PRAGMA journal_mode=WAL").fetchall()
        self.db.execute("PRAGMA synchronous=FULL")
        self.db.executescript(SEED)
        self.queue: queue.SimpleQueue[tuple[str, list[Any], Future[None]] | None] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self.write)
        self.thread.start()

    def write(self) -> None:
        while (first := self.queue.get()) is not None:
            group = [first]
            while len(group) < 512:
                try:
                    further = self.queue.get_nowait()
                except queue.Empty:
                    break
                if further is None:
                    self.queue.put(None)
                    break
                group.append(further)
            self.db.execute("BEGIN IMMEDIATE")
            for statement, values, _ in group:
                self.db.execute(statement, values)
            self.db.execute("COMMIT")
            for _, _, future in group:
                future.set_result(None)

    def task(self, number: str) -> None:
        for statement, values in (
            (
                "INSERT INTO local_tasks (id, task_id, task_name, status, started_at) VALUES (?, ?, 'x', 'pending', ?)",
                [number, number, _NOW],
            ),
            (
                "UPDATE local_tasks SET status = 'success', result = ?, completed_at = ?, synced_to_pg = 0 WHERE task_id = ?",
                ['{"a": 1}', _NOW, number],
            ),
        ):
            future: Future[None] = Future()
            self.queue.put((statement, values, future))
            future.result()

    def close(self) -> None:
        self.queue.put(None)
        self.thread.join()
        self.db.close()


class Ours:
    """What the worker does for one task."""

    def __init__(self, path: Path) -> None:
        self.journal = Journal(path)

    def task(self, number: str) -> None:
        start = Start(number, "x", number, _NOW)
        self.journal.begin([start]).result()
        self.journal.end(Ended(number, number, "success", _NOW, "hash", '{"a": 1}'), start, _NOW).result()

    def close(self) -> None:
        self.journal.close()


def measure(make: Callable[[Path], Raw | Ours], tasks: int = TASKS) -> tuple[float, float]:
    """Tasks a second, and the 99th percentile of one task (two commits) in seconds."""
    with tempfile.TemporaryDirectory(prefix="eco2-bench-") as folder:
        journal = make(Path(folder) / "worker.db")
        times: list[float] = []

        def work() -> None:
            mine = []
            for _ in range(tasks // THREADS):
                number = str(new_id())
                begin = time.perf_counter()
                journal.task(number)
                mine.append(time.perf_counter() - begin)
            times.extend(mine)

        threads = [threading.Thread(target=work) for _ in range(THREADS)]
        begin = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds = time.perf_counter() - begin
        journal.close()
    return tasks / seconds, statistics.quantiles(times, n=100)[98]


def run() -> list[dict[str, Any]]:
    """The row, as medians of alternating rounds."""
    found: dict[str, list[tuple[float, float]]] = {"ours": [], "raw": []}
    for _ in range(ROUNDS):
        found["raw"].append(measure(Raw))
        found["ours"].append(measure(Ours))
    ours, raw = (statistics.median(rate for rate, _ in found[side]) for side in ("ours", "raw"))
    ours_p99, raw_p99 = (statistics.median(p99 for _, p99 in found[side]) * 1000 for side in ("ours", "raw"))
    return [
        {
            "name": "journal, 8 threads, beside raw group commit",
            "ours": round(ours),
            "raw": round(raw),
            "ratio": round(ours / raw, 2),
            "budget": ">= 0.85",
            "unit": "tasks/s",
        },
        {
            "name": "journal, 99th percentile of one task",
            "ours": round(ours_p99, 2),
            "raw": round(raw_p99, 2),
            "ratio": round(ours_p99 / raw_p99, 2),
            "budget": "",
            "unit": "ms",
        },
    ]


if __name__ == "__main__":
    for row in run():
        sys.stdout.write(f"{row}\n")
