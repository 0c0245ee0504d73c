"""A worker's process (a service with a journal), or an API service's queue functions apart from its host.

python -m runtime.delivery.worker storage      one worker process (`eco2 work storage`)
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sqlite3
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import redis

from runtime import memory, telemetry
from runtime.binding import Call, bind_queue
from runtime.delivery.background import start_background
from runtime.delivery.broker import Broker, BrokerUnfit
from runtime.delivery.consumer import observe
from runtime.delivery.envelope import bulk_actors, bulk_queue
from runtime.delivery.working import Worker
from runtime.journal.file import JournalUnusable
from runtime.journal.journal import Journal
from runtime.parts import Parts
from shared import spans

if TYPE_CHECKING:
    from runtime.services import Service
    from shared.settings import Settings

log = logging.getLogger("eco2.worker")

# A thread still inside a function so long after its time limit hangs in a call that can't be interrupted.
STUCK = 60.0
# Seconds after which a commit under way is said to hang.
STALLED = 5.0
# The first SQLite whose WAL can't be corrupted by two connections that write or checkpoint at the same instant.
SQLITE_SOUND = (3, 51, 3)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one worker until SIGTERM or SIGINT; the exit code is 2 when it can't start, with one line that says why."""
    from runtime.loader import LoadError
    from runtime.services import ServiceError, find, seconds
    from shared.settings import SettingsError, read

    arguments = list(sys.argv[1:] if argv is None else argv)
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m runtime.delivery.worker SERVICE\n")
        return 2
    try:
        service = find(arguments[0])
        settings = read(
            os.environ,
            service=service.folder,
            database_env=None if service.is_worker else service.database.env,
            uses=service.uses,
            required=[*service.secrets.required, *(["JOURNAL_PATH"] if service.is_worker else [])],
        )
        telemetry.configure(service.folder, settings.log_format, settings.log_level)
        spans.configure(service.folder)
        grace = seconds(service.run.grace) - 2
        if service.is_worker:
            return _work(service, settings, grace)
        return asyncio.run(_host(service, settings, grace))
    except (ServiceError, SettingsError, LoadError, JournalUnusable, BrokerUnfit) as error:
        sys.stderr.write(f"eco2 work: {error}\n")
        return 2


def _until_told() -> threading.Event:
    told = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told.set())
    return told


def _work(service: Service, settings: Settings, grace: float) -> int:
    from runtime.health import HealthServer
    from runtime.loader import LoadError, load_queue_functions

    memory.arenas(1)
    told = _until_told()
    # The dead life of this worker may hold the file for a moment more.
    journal = Journal(Path(settings.journal_path), wait=5)
    broker = Broker(settings.broker_redis_url, consumer=f"{service.folder}-{journal.worker_id}")
    with contextlib.suppress(redis.RedisError, OSError):
        broker.life()
    parts = Parts(service, settings)
    functions = {name: bind_queue(actor, parts) for name, actor in load_queue_functions(service, broker).items()}
    for name, call in functions.items():
        if call.asynchronous:
            raise LoadError(f"functions/{service.folder}/{name}.py: it runs in a worker's thread: make it `def`")
    workers = _workers(service, broker, journal, functions)
    journal.forget_payloads()
    for worker in workers:
        observe(worker, broker, functions)
    for name, help_text, read in (
        ("eco2_journal_commits_total", "Commits of the journal", lambda: journal.commits),
        ("eco2_journal_stalled_seconds", "How long the commit under way has taken", journal.stalled),
        ("eco2_journal_failing", "1 while the journal can't be written", lambda: float(bool(journal.trouble))),
        (
            "eco2_function_over_limit_seconds",
            "How long a function is over its time limit",
            lambda: max(worker.limits.stuck() for worker in workers),
        ),
    ):
        telemetry.gauges.add(name, help_text, read, service=service.folder)
    health = HealthServer(settings.host, settings.health_port, lambda: _health(workers))
    for said in journal.recovered:
        log.warning("%s", said)
    if sqlite3.sqlite_version_info < SQLITE_SOUND:
        log.info(
            "SQLite %s: before 3.51.3 two writers can corrupt a WAL, so a lock serialises them", sqlite3.sqlite_version
        )
    log.info("%s works: %s", service.name, ", ".join(sorted(functions)))
    for worker in workers:
        worker.start()
    told.wait()
    log.info("%s stops", service.name)
    workers[0].stop(grace, *workers[1:])
    health.close()
    broker.close()
    return 0


def _workers(service: Service, broker: Broker, journal: Journal, functions: dict[str, Call]) -> list[Worker]:
    """The service's worker, and one thread beside it for bulk work where it has any."""
    threads = service.run.threads
    workers = [Worker(service.folder, broker, journal, functions, threads=threads)]
    if any(f"{service.folder}/{name}" in bulk_actors() for name in functions):
        queue = bulk_queue(service.folder)
        workers.append(
            Worker(service.folder, broker, journal, functions, threads=1, queue_name=queue, first_slot=threads)
        )
    return workers


def _health(workers: list[Worker]) -> dict[str, Any]:
    journal = workers[0].journal
    stuck = max(worker.limits.stuck() for worker in workers)
    reasons = [said for said in (*(worker.trouble for worker in workers), journal.trouble) if said]
    stalled = journal.stalled()
    if stalled > STALLED:
        reasons.append(
            f"a commit of the journal has been under way for {stalled:.0f} s: is another program stopped in its lock?"
        )
    if stuck > 1:
        reasons.append(f"a function is {stuck:.0f} s over its time limit")
    return {
        "alive": stuck < STUCK,
        "ready": not any(worker.trouble for worker in workers) and not journal.trouble and stalled <= STALLED,
        "reasons": reasons,
        "recovered": journal.recovered,
        "held": sum(worker.held for worker in workers),
        "finished": sum(worker.finished for worker in workers),
    }


async def _host(service: Service, settings: Settings, grace: float) -> int:
    from runtime.health import HealthServer

    parts = Parts(service, settings)
    await parts["db"].open()
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    background = start_background(service, loop, parts)
    health = HealthServer(
        settings.host,
        settings.health_port,
        lambda: {"alive": True, "ready": not background.trouble(), "reasons": background.trouble()},
    )
    await told.wait()
    await asyncio.to_thread(background.stop, grace)
    await asyncio.to_thread(health.close)
    await parts.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
