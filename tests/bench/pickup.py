"""From publishing a task to the first line of its function, with an idle worker, beside stock Dramatiq's polling."""

import statistics
import sys
import tempfile
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from emulator.servers.redis import RedisServer
from runtime.binding import bind_queue
from runtime.delivery.broker import Broker
from runtime.delivery.envelope import task_message
from runtime.delivery.outbox import Row
from runtime.delivery.working import Worker
from runtime.journal.journal import Journal
from shared import clock
from shared.ids import new_id
from shared.messages import Message
from shared.triggers import queue

TASKS = 200
STOCK_TASKS = 20
LIMIT = timedelta(minutes=10)


class Act(Message, frozen=True):
    actor: ClassVar[str] = "pickup/act"
    number: int


def ours(url: str, folder: Path, tasks: int) -> list[float]:
    """Seconds of each pickup, lease and journal included."""
    begun = threading.Event()
    at = 0.0

    @queue(Act)
    def act(message: Act) -> None:
        nonlocal at
        at = time.perf_counter()
        begun.set()

    journal = Journal(folder / "pickup.db")
    worker = Worker("pickup", Broker(url, consumer=journal.worker_id), journal, {"act": bind_queue(act, {})})
    worker.start()
    producer = Broker(url)
    times = []
    time.sleep(0.5)
    for number in range(tasks):
        row = Row(
            id=new_id(),
            actor="pickup/act",
            message={"number": number},
            reply=None,
            subject=new_id(),
            traceparent=None,
            created_at=clock.now(),
            time_limit=LIMIT,
        )
        begun.clear()
        sent = time.perf_counter()
        producer.publish([task_message("owner", row)])
        begun.wait(10)
        times.append(at - sent)
        # Idle again: the consumer is back in its wait, at another phase of it each time.
        time.sleep(0.02 + number % 7 / 100)
    worker.stop(5)
    worker.broker.close()
    producer.close()
    return times


def stock(url: str, tasks: int) -> list[float]:
    """The same with Dramatiq's broker and worker as they come."""
    broker = RedisBroker(url=url)
    begun = threading.Event()
    at = 0.0

    def act() -> None:
        nonlocal at
        at = time.perf_counter()
        begun.set()

    actor = dramatiq.actor(act, broker=broker)
    worker = dramatiq.Worker(broker, worker_threads=2)
    worker.start()
    times = []
    for number in range(tasks):
        time.sleep(0.6 + number % 7 / 10)
        begun.clear()
        sent = time.perf_counter()
        actor.send()
        begun.wait(10)
        times.append(at - sent)
    worker.stop()
    broker.close()
    return times


def run() -> list[dict[str, Any]]:
    """Median and 99th percentile."""
    with tempfile.TemporaryDirectory(prefix="eco2-bench-") as name:
        server = RedisServer(Path(name), "broker").start()
        try:
            mine, theirs = ours(server.url, Path(name), TASKS), stock(server.url, STOCK_TASKS)
        finally:
            server.stop()
    median, stock_median = statistics.median(mine) * 1000, statistics.median(theirs) * 1000
    p99, stock_worst = statistics.quantiles(mine, n=100)[98] * 1000, max(theirs) * 1000
    return [
        {
            "name": f"pickup by an idle worker, {what}",
            "ours": round(value, 2),
            "raw": round(beside, 1),
            "ratio": round(value / beside, 3),
            "budget": budget,
            "unit": "ms",
        }
        for what, value, beside, budget in (
            ("median, beside stock Dramatiq", median, stock_median, "<= 10 ms"),
            ("99th percentile, beside its worst", p99, stock_worst, "<= 25 ms"),
        )
    ]


if __name__ == "__main__":
    for row in run():
        sys.stdout.write(f"{row}\n")
