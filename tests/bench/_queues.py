"""Other durable queues on the same PostgreSQL, with their own defaults: tasks that do nothing, from enqueueing to their end.

Each is a program of its own, as its users would write it, with as many clients as the benchmark of ours.
"""

import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg.conninfo import conninfo_to_dict

CLIENTS = 16

DBOS = """
import sys, time
from concurrent.futures import ThreadPoolExecutor
from dbos import DBOS
url, count, clients = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
DBOS(config={"name": "bench", "system_database_url": url, "run_admin_server": False, "log_level": "ERROR"})
@DBOS.workflow()
def nothing(number): pass
DBOS.launch()
queue = DBOS.register_queue("bench")
def many(count):
    begin = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        handles = list(pool.map(lambda number: queue.enqueue(nothing, number), range(count)))
    for handle in handles:
        handle.get_result()
    return count / (time.perf_counter() - begin)
many(50)
print(many(count))
DBOS.destroy()
"""
PROCRASTINATE = """
import asyncio, sys, time
import procrastinate
url, count, clients = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=url, max_size=clients))
@app.task(name="nothing")
async def nothing(number): pass
LEFT = "SELECT count(*) AS left FROM procrastinate_jobs WHERE status <> 'succeeded'"
async def many(count):
    begin, numbers = time.perf_counter(), iter(range(count))
    async def client():
        for number in numbers:
            await nothing.defer_async(number=number)
    worker = asyncio.create_task(app.run_worker_async(concurrency=clients, install_signal_handlers=False))
    await asyncio.gather(*(client() for _ in range(clients)))
    while (await app.connector.execute_query_one_async(LEFT))["left"]:
        await asyncio.sleep(0.02)
    seconds = time.perf_counter() - begin
    worker.cancel()
    await asyncio.gather(worker, return_exceptions=True)
    return count / seconds
async def main():
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        await many(30)
        print(await many(count))
asyncio.run(main())
"""


def rate(program: str, superuser_dsn: str, count: int, folder: Path) -> float:
    """Tasks a second of one of the programs, in a database of its own that is dropped afterwards."""
    name = "bench_queues"
    server = conninfo_to_dict(superuser_dsn)
    url = f"postgresql://{server['user']}:{quote(str(server['password']))}@{server['host']}:{server['port']}/{name}"
    script = folder / "queues.py"
    script.write_text(program)
    with psycopg.connect(superuser_dsn, autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name}")
        try:
            done = subprocess.run(
                [sys.executable, str(script), url, str(count), str(CLIENTS)],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(part for part in sys.path if part)},
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=180,
                check=True,
            )
        finally:
            conn.execute(f"DROP DATABASE {name} WITH (FORCE)")
    return float(done.stdout.split()[-1])
