"""The processes of the fault suite: a worker, an owner, a syncer, each ready to kill itself at a named point."""

import asyncio
import logging
import os
import random
import signal
import threading
import time
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from runtime.delivery.background import HostConsumer
from runtime.delivery.broker import Broker
from runtime.delivery.relay import Relay
from runtime.delivery.working import Worker
from runtime.journal import file, results
from runtime.journal.drain import Syncer
from runtime.journal.journal import Journal
from shared import clock, tasks
from shared.db import Database
from shared.messages import Outcome
from shared.tasks import Result, Task, TaskFailed
from tests.runtime.owner import call


class Options(Struct, frozen=True, kw_only=True):
    """How a worker process runs. `kill` is a point and at which passing of it the process kills itself."""

    broker: str
    journal: str
    queue: str
    effects: str
    clock_file: str
    kill: tuple[str, int] | None = None
    threads: int = 2
    prefetch: int | None = None
    seconds: float = 0.0  # each task takes so long
    functions: tuple[str, ...] = ("effect", "fail")
    grace: float = 5.0
    triple: bool = False  # send each result three times, shuffled
    limit: float = 60.0


def _killer(kill: tuple[str, int]) -> Any:
    point, count = kill
    left = [count]

    def at(reached: str) -> None:
        if reached == point:
            left[0] -= 1
            if left[0] <= 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return at


def effect_of(folder: str, task_id: Any) -> str:
    """Do the work: one object whose name and content come from the task, however often it runs."""
    Path(folder).mkdir(exist_ok=True)
    target = Path(folder) / str(task_id)
    draft = target.with_suffix(f".{os.urandom(4).hex()}~")
    draft.write_text(str(task_id))
    draft.replace(target)
    return target.name


def work(options: Options) -> None:
    """A worker until SIGTERM."""
    logging.disable(logging.CRITICAL)
    clock.use_file(options.clock_file)
    told = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: told.set())

    def effect(*, number: int, task: Task) -> Result:
        for _ in range(20 if options.seconds else 0):
            time.sleep(options.seconds / 20)
        return Result(record={"effect": effect_of(options.effects, task.id), "number": number}, payload={"t": "x"})

    def fail(*, number: int) -> Result:
        raise TaskFailed("no-image", "The file is no image.")

    known = {"effect": effect, "fail": fail, "new": effect}
    journal = Journal(Path(options.journal), wait=10)
    broker = Broker(options.broker, consumer=f"{options.queue}-{journal.worker_id}")
    if options.triple:
        finish = broker.finish

        def shuffled(queue: str, acks: Any, sends: Any = (), **how: Any) -> None:
            many = list(sends) * 3
            random.shuffle(many)
            finish(queue, acks, many, **how)

        broker.finish = shuffled  # type: ignore[method-assign]  # repeats and shuffles what is sent
    calls = {name: call(known[name], options.limit) for name in options.functions}
    worker = Worker(options.queue, broker, journal, calls, threads=options.threads, prefetch=options.prefetch)
    if options.kill:
        worker.reach = _killer(options.kill)
    worker.start()
    told.wait()
    worker.stop(options.grace)
    broker.close()


async def keep_outcome(outcome: Outcome, db: Database) -> None:
    """What an owner's reply function does: write it where states only rise, settle, in one transaction."""
    error = msgspec.to_builtins(outcome.error)
    hash_ = results.hash_result(outcome.status, outcome.record, outcome.payload, error)
    async with db.transaction() as conn:
        # `applied` counts how often the outcome took effect.
        await conn.execute(
            "INSERT INTO fault_rows AS f (id, status, run_id, result_hash, applied) VALUES (%s, %s, %s, %s, 1)"
            " ON CONFLICT (id) DO UPDATE SET status = excluded.status, run_id = excluded.run_id,"
            " result_hash = excluded.result_hash, applied = f.applied + 1"
            " WHERE array_position(ARRAY['pending', 'failure', 'success'], excluded.status)"
            " > array_position(ARRAY['pending', 'failure', 'success'], f.status)",
            [outcome.task_id, outcome.status, outcome.run_id, hash_],
        )
        await tasks.settle(conn, outcome)


def own(name: str, dsn: str, broker_url: str, clock_file: str) -> None:
    """An owner's relay and reply function until it is killed."""
    logging.disable(logging.CRITICAL)
    clock.use_file(clock_file)

    async def main() -> None:
        db = Database(dsn, size=4)
        await db.open()

        async def worked(*, outcome: Outcome) -> None:
            await keep_outcome(outcome, db)

        broker = Broker(broker_url)
        Relay(name, dsn, broker).start()
        loop = asyncio.get_running_loop()
        HostConsumer(name, broker, {"worked": call(worked)}, loop, db).start()
        await asyncio.Event().wait()

    asyncio.run(main())


def sync(path: str, dsn: str, clock_file: str, kill: tuple[str, int] | None, batch: int = 10) -> None:
    """One cycle of a syncer."""
    logging.disable(logging.CRITICAL)
    clock.use_file(clock_file)
    syncer = Syncer("storage", Path(path), dsn, batch=batch)
    if kill:
        syncer.reach = _killer(kill)
    syncer.cycle()
    syncer.close()


def sync_forever(path: str, dsn: str, clock_file: str, pause: float = 0.0) -> None:
    """Cycle after cycle."""
    logging.disable(logging.CRITICAL)
    clock.use_file(clock_file)
    syncer = Syncer("storage", Path(path), dsn)
    while True:
        syncer.cycle()
        time.sleep(pause)


def write(path: str, count: int, number: int) -> None:
    """Transactions of another writing process, by the rules of the file."""
    lock = file.Lock(Path(path))
    with lock:
        db = file.open_file(Path(path))
    for i in range(count):
        with lock:
            db.execute("BEGIN IMMEDIATE")
            db.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", [f"writer-{number}", str(i)])
            db.execute("COMMIT")
    with lock:
        db.close()
