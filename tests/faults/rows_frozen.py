"""Faults of time: processes, a machine's worth of them, or all, that stand still for longer than every limit."""

import os
import signal
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tests.faults import process
from tests.faults.system import System, must
from tests.faults.table import row

LIMIT, LONG = 60.0, 70.0


def _family(pid: int) -> Iterator[int]:
    """A process and all that it has started."""
    yield pid
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            yield from _family(int(child))


def _freeze(pids: Iterable[int], seconds: float) -> None:
    """Stop these processes for so long."""
    stopped = list(pids)
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(seconds)
    finally:
        for pid in reversed(stopped):
            os.kill(pid, signal.SIGCONT)


def _no_failures(system: System) -> None:
    failed = system.rows("SELECT id FROM recycle_info.fault_rows WHERE status = 'failure'")
    must(not failed, f"{len(failed)} tasks failed because time stood still")


@row(23, "a worker stopped (SIGSTOP) for longer than its tasks' time limit, alone and beside another", "no task fails")
def frozen_worker(system: System) -> dict[str, Any]:
    limit, long = (LIMIT, LONG) if system.full else (2.0, 4.0)
    system.owner.start()
    for others in (0, 1):
        child = system.worker("w1", threads=2, seconds=limit / 2, limit=limit)
        for number in range(others):
            system.worker(f"other-{number}", threads=2, seconds=limit / 2, limit=limit)
        system.accept(4)
        # In the middle of a run.
        time.sleep(limit / 4)
        assert child.pid
        _freeze([child.pid], long)
        system.drain()
        system.stop(child)
    system.owner.stop()
    _no_failures(system)
    return system.check()


@row(
    24,
    "the owner, the broker, PostgreSQL, and all with the worker stopped for longer than every limit",
    "no task fails",
)
def frozen_machine(system: System) -> dict[str, Any]:
    limit, long = (LIMIT, LONG) if system.full else (2.0, 4.0)
    owner = system.spawn(process.own, system.owner.name, system.owner_dsn, system.redis.url, str(system.clock_file))
    worker = system.worker(threads=2, seconds=limit / 2, limit=limit)
    assert owner.pid
    assert worker.pid
    assert system.redis.process
    assert system.postgres.process
    broker, database = system.redis.process.pid, system.postgres.process.pid
    for which in ([owner.pid], [broker], [database], [owner.pid, broker, database, worker.pid]):
        system.accept(4)
        time.sleep(limit / 4)
        _freeze([pid for one in which for pid in _family(one)], long)
        system.drain()
    _no_failures(system)
    return system.check()
