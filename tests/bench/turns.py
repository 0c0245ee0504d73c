"""How long a task waits: a new one behind a backlog of 100,000, and one person's ordinary task behind another's heavy ones."""

import asyncio
import statistics
import sys
import time
from typing import Any

import psycopg

from shared import tasks
from shared.ids import new_id
from tests.bench.settled import Way, latency, way
from tests.runtime.owner import sending

BACKLOG = 100_000
NEW = 60
HEAVY, ORDINARY = 12, 5
HEAVY_SECONDS, ORDINARY_SECONDS = 0.5, 0.02

# Two threads, as the storage worker has them; a task's number is how long it takes, in milliseconds.
TAKES_TIME = """
import sys, threading, time
from pathlib import Path
from runtime.delivery.broker import Broker
from runtime.journal.journal import Journal
from runtime.binding import bind_queue
from runtime.delivery.working import Worker
from shared.messages import Message
from shared.triggers import queue
class Sleep(Message, frozen=True):
    actor = "bench/sleep"
    number: int
@queue(Sleep)
def sleep(message: Sleep) -> None: time.sleep(message.number / 1000)
journal = Journal(Path(sys.argv[2]))
broker = Broker(sys.argv[1], consumer=journal.worker_id)
Worker("bench", broker, journal, {"sleep": bind_queue(sleep, {})}, threads=2).start()
threading.Event().wait()
"""


def behind_a_backlog(running: Way) -> tuple[list[float], int]:
    """Seconds from accepting a new task to its outcome while the backlog is worked off; and how much of that was left."""
    with psycopg.connect(running.owner.dsn) as conn:
        conn.execute(
            """
            INSERT INTO outbox (id, actor, message, reply, subject, created_at, due_at, time_limit)
            SELECT gen_random_uuid(), 'bench/nothing', '{"number": 1}', %s, gen_random_uuid(), now() - interval '1 day',
                   now() - interval '1 day' + make_interval(secs => n / 10.0), '60 s'
              FROM generate_series(1, %s) AS n
            """,
            [f"{running.owner.name}/all_worked", BACKLOG],
        )
    with psycopg.connect(running.owner.dsn, autocommit=True) as conn:
        conn.execute("ANALYZE outbox")
    running.owner.relay.wake()
    time.sleep(1)
    times = latency(running, NEW)
    return times, running.owner.outbox()


def behind_another(running: Way) -> float:
    """Seconds from accepting one person's ordinary task to its outcome, with another's twelve heavy ones before it."""
    message = sending("bench/sleep", 60.0)

    async def accept(seconds: float, person: str) -> Any:
        async with running.owner.database.transaction() as conn:
            given = message(round(seconds * 1000))
            return await tasks.enqueue(conn, given, subject=new_id(), reply=running.reply, person=person)

    def wait(coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, running.owner.loop).result(60)

    heavy = [wait(accept(HEAVY_SECONDS, "heavy")) for _ in range(HEAVY)]
    time.sleep(0.2)
    begin = time.perf_counter()
    id_ = wait(accept(ORDINARY_SECONDS, "ordinary"))
    while id_ not in running.owner.outcomes:
        time.sleep(0.001)
    seconds = time.perf_counter() - begin
    while any(one not in running.owner.outcomes for one in heavy):
        time.sleep(0.01)
    return seconds


def run() -> list[dict[str, Any]]:
    """The two rows."""
    with way() as running:
        latency(running, 20)
        idle = statistics.median(latency(running, NEW)) * 1000
        times, left = behind_a_backlog(running)
    with way(TAKES_TIME) as running:
        behind_another(running)  # the worker learns that its work is heavy
        waits = [behind_another(running) for _ in range(ORDINARY)]
    all_of_them = HEAVY * HEAVY_SECONDS / 2 * 1000
    return [
        {
            "name": f"accept → settled of a new task behind a backlog of {BACKLOG:,}, median, beside when idle",
            "ours": round(statistics.median(times) * 1000, 1),
            "raw": round(idle, 1),
            "ratio": round(statistics.median(times) * 1000 / idle, 2),
            "budget": "<= 100 ms",
            "unit": "ms",
            "note": f"worst {max(times) * 1000:.0f} ms; {left:,} were left after the last one",
        },
        {
            "name": f"one person's task behind {HEAVY} of {HEAVY_SECONDS} s of another's, two threads, beside all of those",
            "ours": round(statistics.median(waits) * 1000),
            "raw": round(all_of_them),
            "ratio": round(statistics.median(waits) * 1000 / all_of_them, 2),
            "budget": f"<= {HEAVY_SECONDS * 1000 + 100:.0f} ms",
            "unit": "ms",
            "note": f"worst {max(waits) * 1000:.0f} ms",
        },
    ]


if __name__ == "__main__":
    for row in run():
        sys.stdout.write(f"{row}\n")
