"""Tasks a second of a whole worker with the journal, beside stock Dramatiq and Celery, on the same Redis server.

Each side gets the same number of no-op tasks before its process starts, and is timed from the first to the last that it
finished, seen from outside (what is left in the queue, or the results that are there).
"""

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import redis

from emulator.servers.redis import RedisServer

TASKS = 6000
ROUNDS = 3
LIMIT = timedelta(minutes=10)

STOCK = """
import sys, dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.worker import Worker
broker = RedisBroker(url=sys.argv[1])
dramatiq.set_broker(broker)
@dramatiq.actor
def nothing(number): pass
if len(sys.argv) > 2:
    for n in range(int(sys.argv[2])): nothing.send(n)
else:
    import threading
    Worker(broker, worker_threads=8).start()
    threading.Event().wait()
"""
CELERY = """
import sys, os
from celery import Celery
app = Celery(broker=os.environ["BENCH_REDIS"], backend=os.environ["BENCH_REDIS"])
@app.task(name="nothing")
def nothing(number): pass
if __name__ == "__main__":
    for n in range(int(sys.argv[1])): nothing.delay(n)
"""
OURS = """
import sys, threading
from pathlib import Path
from runtime.delivery.broker import Broker
from runtime.journal.journal import Journal
from runtime.binding import bind_queue
from runtime.delivery.working import Worker
from shared.messages import Message
from shared.triggers import queue
class Nothing(Message, frozen=True):
    actor = "bench/nothing"
    number: int
@queue(Nothing)
def nothing(message: Nothing) -> None: pass
journal = Journal(Path(sys.argv[2]))
broker = Broker(sys.argv[1], consumer=journal.worker_id)
Worker("bench", broker, journal, {"nothing": bind_queue(nothing, {})}, threads=8, prefetch=256).start()
threading.Event().wait()
"""


def _environment(url: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "BENCH_REDIS": url}


def _rate(argv: list[str], environment: dict[str, str], folder: Path, done: Callable[[], int], count: int) -> float:
    """Tasks a second between the first tenth and the last one."""
    process = subprocess.Popen(
        argv, env=environment, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, process_group=0
    )
    try:
        end = time.monotonic() + 60
        while done() < count // 10:
            if time.monotonic() > end or process.poll() is not None:
                raise RuntimeError(f"the worker did not start: {process.args}")
            time.sleep(0.005)
        first, at_first = time.monotonic(), done()
        while done() < count:
            if time.monotonic() > end:
                raise RuntimeError(f"the worker did not finish: {done()} of {count}")
            time.sleep(0.005)
        return (count - at_first) / (time.monotonic() - first)
    finally:
        # The whole group: Celery's children outlive their parent.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def stock(url: str, folder: Path, count: int) -> float:
    """Dramatiq as it comes: default settings, eight threads."""
    script = folder / "stock.py"
    script.write_text(STOCK)
    subprocess.run([sys.executable, str(script), url, str(count)], env=_environment(url), check=True)
    client = redis.Redis.from_url(url)
    rate = _rate(
        [sys.executable, str(script), url],
        _environment(url),
        folder,
        lambda: count - int(client.hlen("dramatiq:default.msgs")),  # type: ignore[arg-type]  # redis-py types an answer as awaitable too
        count,
    )
    client.flushall()
    client.close()
    return rate


def celery(url: str, folder: Path, count: int) -> float:
    """Celery with results in Redis, and as many processes as there are cores, its default."""
    (folder / "bench_celery.py").write_text(CELERY)
    environment = _environment(url) | {"PYTHONPATH": f"{folder}:{_environment(url)['PYTHONPATH']}"}
    subprocess.run([sys.executable, str(folder / "bench_celery.py"), str(count)], env=environment, check=True)
    client = redis.Redis.from_url(url)
    before = int(client.dbsize())  # type: ignore[arg-type]  # redis-py types an answer as awaitable too
    rate = _rate(
        [sys.executable, "-m", "celery", "-A", "bench_celery", "worker", "--loglevel", "ERROR", "--without-gossip"],
        environment,
        folder,
        lambda: max(0, int(client.dbsize()) - before - 2),  # type: ignore[arg-type]  # redis-py types an answer as awaitable too
        count - 4,
    )
    client.flushall()
    client.close()
    return rate


def ours(url: str, folder: Path, count: int) -> float:
    """Our worker: lease, journal, terminal commits on the disk, result sent, ack."""
    from runtime.delivery.broker import Broker
    from runtime.delivery.envelope import task_message
    from runtime.delivery.outbox import Row
    from shared import clock
    from shared.ids import new_id

    script = folder / "ours.py"
    script.write_text(OURS)
    broker = Broker(url)
    now = clock.now()
    subject = UUID(int=1)
    messages: list[Any] = [
        task_message(
            "owner",
            Row(
                id=new_id(),
                actor="bench/nothing",
                message={"number": n},
                reply="owner/done",
                subject=subject,
                traceparent=None,
                created_at=now,
                time_limit=LIMIT,
            ),
        )
        for n in range(count)
    ]
    for start in range(0, count, 500):
        broker.publish(messages[start : start + 500])
    journal = folder / f"ours-{time.monotonic_ns()}.db"
    rate = _rate(
        [sys.executable, str(script), url, str(journal)],
        _environment(url),
        folder,
        lambda: count - int(broker.client.hlen("dramatiq:bench.msgs")),  # type: ignore[arg-type]  # redis-py types an answer as awaitable too
        count,
    )
    assert broker.depth("owner") == count, "every task sent its result"
    broker.client.flushall()
    broker.close()
    return rate


def run() -> list[dict[str, Any]]:
    """The two rows, as medians of alternating rounds."""
    with tempfile.TemporaryDirectory(prefix="eco2-bench-") as name:
        folder = Path(name)
        server = RedisServer(folder, "broker").start()
        try:
            sides: dict[str, list[float]] = {"ours": [], "stock": [], "celery": []}
            for _ in range(ROUNDS):
                for side, measure in (("ours", ours), ("stock", stock), ("celery", celery)):
                    sides[side].append(measure(server.url, folder, TASKS if side != "celery" else TASKS // 3))
        finally:
            server.stop()
    rates = {side: statistics.median(values) for side, values in sides.items()}
    return [
        {
            "name": f"tasks/s of a worker with the journal, beside {beside}",
            "ours": round(rates["ours"]),
            "raw": round(rates[side]),
            "ratio": round(rates["ours"] / rates[side], 2),
            "budget": budget,
            "unit": "tasks/s",
        }
        for side, beside, budget in (("stock", "stock Dramatiq", ">= 1.4"), ("celery", "Celery with results", ">= 2"))
    ]


if __name__ == "__main__":
    for row in run():
        sys.stdout.write(f"{row}\n")
