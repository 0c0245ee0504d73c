"""Accept → settled: a task that does nothing, all the way, with every store durable, on one machine.

The owner's row and the outbox row in one transaction each, relay, broker, worker with its journal, result, and the transaction
that writes it into the row and settles it. Beside it DBOS and procrastinate on the same PostgreSQL, in turn, and the floor of
any queue that keeps its tasks there: a transaction that inserts one and one that deletes it.
"""

import asyncio
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import psycopg

from emulator.servers.postgres import Postgres
from emulator.servers.redis import RedisServer
from runtime import migrate
from shared import tasks
from shared.ids import new_id
from shared.messages import Outcome
from shared.together import insert, later
from tests.bench import _queues
from tests.bench._queues import CLIENTS
from tests.bench.worker import OURS, _environment
from tests.runtime.owner import Owner, event_loop, replying, sending

TASKS = 1500
# Of the others, which take as long for fewer.
FEWER = 400
IDLE_TASKS = 100
INSERT = """
INSERT INTO bench_rows (id, status)
SELECT id, 'pending' FROM json_to_recordset(%s) AS given (id uuid)
RETURNING id
"""


class RowsOwner(Owner):
    """Has a row for each task, and writes the outcomes into them."""

    async def _all_worked(self, *, outcomes: list[Outcome]) -> None:
        subjects = sorted(outcome.subject for outcome in outcomes)
        async with self.database.transaction() as conn:
            await later(conn, "UPDATE bench_rows SET status = 'success' WHERE id = ANY(%s)", [subjects])
            still_open = await tasks.settle_all(conn, outcomes)
        self.outcomes.update({outcome.task_id: outcome for outcome in outcomes if outcome.task_id in still_open})


class Way:
    """An owner with its relay in this process, a worker in another, and their stores."""

    def __init__(
        self, folder: Path, server: Postgres, owner: Owner, worker: subprocess.Popen[bytes], parts: dict[str, int]
    ) -> None:
        self.folder = folder
        self.server = server
        self.owner = owner
        self.worker = worker
        self.parts = parts
        self.message = sending("bench/nothing", 60.0)
        self.reply = replying(f"{owner.name}/all_worked")

    async def accept(self, number: int) -> Any:
        """One request's unit of writes, as POST /analyses has one."""
        row = new_id()
        unit = self.owner.database.unit()
        await insert(unit, INSERT, row, {"id": row})
        id_ = await tasks.enqueue(unit, self.message(number), subject=row, reply=self.reply)
        await self.owner.database.commit(unit)
        return id_

    def cpu(self) -> dict[str, float]:
        """Seconds of processor by part so far."""
        return {name: _cpu(pid) for name, pid in self.parts.items()}


def _cpu(pid: int) -> float:
    process = psutil.Process(pid)
    if pid == os.getpid():
        return process.cpu_times().user + process.cpu_times().system  # the others are its children
    family = [process, *process.children(recursive=True)]
    # Backends that have ended are in their parent's sum.
    mine = process.cpu_times()
    return mine.children_user + mine.children_system + sum(p.cpu_times().user + p.cpu_times().system for p in family)


@contextmanager
def way(program: str = OURS) -> Iterator[Way]:
    """The whole of it, with durable stores and a worker that is this program."""
    folder = Path(tempfile.mkdtemp(prefix="eco2-bench-"))
    folder.chmod(0o755)
    server, broker = Postgres(folder / "postgres").start(), RedisServer(folder, "broker").start()
    worker = None
    try:
        migrate.prepare(server.superuser_dsn, server.state.passwords())
        migrate.apply(server.dsn("migrator"))
        script = folder / "worker.py"
        script.write_text(program)
        with event_loop() as loop:
            dsn = server.dsn("api_recycle_role", search_path="recycle_info")
            with psycopg.connect(dsn, autocommit=True) as conn:
                conn.execute("CREATE TABLE bench_rows (id UUID PRIMARY KEY, status TEXT NOT NULL)")
                conn.execute("CREATE TABLE bench_floor (id UUID PRIMARY KEY, message JSONB NOT NULL)")
            owner = RowsOwner(dsn, broker.url, loop, "owner").start()
            journal = str(folder / "worker.db")
            worker = subprocess.Popen(
                [sys.executable, str(script), broker.url, journal], env=_environment(broker.url), cwd=folder
            )
            assert server.process
            assert broker.process
            parts = {
                "owner": os.getpid(),
                "worker": worker.pid,
                "postgres": server.process.pid,
                "redis": broker.process.pid,
            }
            yield Way(folder, server, owner, worker, parts)
            owner.stop()
            owner.close()
    finally:
        if worker is not None:
            worker.kill()
            worker.wait()
        broker.stop()
        server.destroy()
        shutil.rmtree(folder, ignore_errors=True)


async def _many(do: Callable[[int], Awaitable[Any]], count: int) -> None:
    """Call `do` so often, by CLIENTS at once."""
    numbers = iter(range(count))

    async def client() -> None:
        for number in numbers:
            await do(number)

    await asyncio.gather(*(client() for _ in range(CLIENTS)))


def throughput(running: Way, count: int) -> tuple[float, dict[str, float]]:
    """Tasks a second from the first request to the last outcome, and milliseconds of processor a task by part."""
    before, done, begin = running.cpu(), len(running.owner.outcomes), time.perf_counter()
    asyncio.run_coroutine_threadsafe(_many(running.accept, count), running.owner.loop).result(300)
    while len(running.owner.outcomes) - done < count:
        time.sleep(0.005)
    seconds = time.perf_counter() - begin
    after = running.cpu()
    return count / seconds, {part: (after[part] - before[part]) / count * 1000 for part in after}


def latency(running: Way, count: int) -> list[float]:
    """Seconds from the request to its outcome, one after another with pauses."""
    times = []
    for number in range(count):
        begin = time.perf_counter()
        id_ = asyncio.run_coroutine_threadsafe(running.accept(number), running.owner.loop).result(30)
        while id_ not in running.owner.outcomes:
            time.sleep(0.0005)
        times.append(time.perf_counter() - begin)
        time.sleep(0.02)
    return times


def floor(running: Way, count: int) -> float:
    """Tasks a second of an insert and a delete, each in a transaction of its own."""
    database = running.owner.database

    async def both(number: int) -> None:
        id_ = new_id()
        async with database.transaction() as conn:
            await conn.execute(
                "INSERT INTO bench_floor (id, message) VALUES (%s, %s)", [id_, f'{{"number": {number}}}']
            )
        async with database.transaction() as conn:
            await conn.execute("DELETE FROM bench_floor WHERE id = %s", [id_])

    begin = time.perf_counter()
    asyncio.run_coroutine_threadsafe(_many(both, count), running.owner.loop).result(300)
    return count / (time.perf_counter() - begin)


def run() -> list[dict[str, Any]]:
    """Throughput beside the others', latency when idle, cost by part."""
    with way() as running:
        latency(running, 20)
        idle = latency(running, IDLE_TASKS)
        costs = []
        rates: dict[str, list[float]] = {"ours": [], "DBOS": [], "procrastinate": [], "an insert and a delete": []}
        for _ in range(3):
            rate, cost = throughput(running, TASKS)
            rates["ours"].append(rate)
            costs.append(cost)
            for name, program in (("DBOS", _queues.DBOS), ("procrastinate", _queues.PROCRASTINATE)):
                rates[name].append(_queues.rate(program, running.server.superuser_dsn, FEWER, running.folder))
            rates["an insert and a delete"].append(floor(running, TASKS))
        journal = (running.folder / "worker.db").stat().st_size / (3 * TASKS)
    cost = {part: statistics.median(one[part] for one in costs) for part in costs[0]}
    medians = {name: statistics.median(values) for name, values in rates.items()}
    ours = medians.pop("ours")
    said = ", ".join(f"{part} {ms:.2f} ms" for part, ms in cost.items()) + f": {sum(cost.values()):.2f} ms of processor"
    rows: list[dict[str, Any]] = [
        {
            "name": f"accept → settled, no-op, all stores durable, beside {name}",
            "ours": round(ours),
            "raw": round(raw),
            "ratio": round(ours / raw, 2),
            "budget": ">= 10" if name == "DBOS" else "",
            "unit": "tasks/s",
            "note": f"{said} a task" if name == "DBOS" else "",
        }
        for name, raw in medians.items()
    ]
    return [
        *rows,
        {
            "name": "accept → settled when idle, median",
            "ours": round(statistics.median(idle) * 1000, 1),
            "raw": None,
            "ratio": None,
            "budget": "",
            "unit": "ms",
            "note": f"99th percentile {statistics.quantiles(idle, n=100)[98] * 1000:.1f} ms",
        },
        {
            "name": "the journal's file a task",
            "ours": round(journal),
            "raw": None,
            "ratio": None,
            "budget": "",
            "unit": "bytes",
        },
    ]


if __name__ == "__main__":
    for row in run():
        sys.stdout.write(f"{row}\n")
