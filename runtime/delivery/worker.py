"""Runs the queue functions of a worker (a service with a journal), in threads.

Lease, journal `pending`, work, journal the terminal state, send the Outcome to its owner, ack, in this order, so that a
process killed between any two of them loses nothing.

    python -m runtime.delivery.worker storage      one worker process (`eco2 work storage`)
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import queue
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
import redis
from msgspec import Struct

from runtime import telemetry
from runtime.binding import Call, bind_queue
from runtime.delivery.background import start_background
from runtime.delivery.broker import Broker, BrokerUnfit, Delivery
from runtime.delivery.consumer import Consumer, observe, reach
from runtime.delivery.envelope import answer, envelope, storable
from runtime.delivery.limits import Limits, TimeLimitExceeded
from runtime.delivery.relay import Envelope
from runtime.forms import Refused
from runtime.journal import results
from runtime.journal.file import JournalUnusable
from runtime.journal.journal import Journal
from runtime.journal.results import NotJson
from runtime.journal.states import Ended, Start
from runtime.journal.writer import JournalClosed
from runtime.parts import Parts
from shared import clock, spans, trace
from shared.errors import Unavailable
from shared.ids import new_id
from shared.messages import Outcome, TaskError
from shared.tasks import Result, Task, TaskFailed

if TYPE_CHECKING:
    from runtime.services import Service
    from shared.settings import Settings

log = logging.getLogger("eco2.worker")

# A function that met something away is tried again here after these pauses, in seconds; then it is the relay's turn.
PAUSES = (0.5, 1.0, 2.0, 5.0, 10.0)
# A thread still inside a function so long after its time limit hangs in a call that can't be interrupted.
STUCK = 60.0
# The first SQLite whose WAL can't be corrupted by two connections that write or checkpoint at the same instant.
SQLITE_SOUND = (3, 51, 3)


class _Work(Struct):
    delivery: Delivery
    sent: Envelope
    call: Call
    given: Any  # its message
    start: Start
    tries: int = 0


class Worker(Consumer):
    """Runs the functions of a service with a journal, in `threads` threads."""

    leases = True

    def __init__(
        self,
        service: str,
        broker: Broker,
        journal: Journal,
        calls: Mapping[str, Call],
        *,
        threads: int = 2,
        prefetch: int | None = None,
    ) -> None:
        # While all threads are busy two messages come at a time, with one fetch and one commit of their `pending`.
        prefetch = prefetch or threads + 2
        super().__init__(service, broker, prefetch, max(1, min(2, prefetch - threads)))
        self.journal = journal
        self.limits = Limits()
        self._calls = dict(calls)
        self._tasks: dict[str, str] = {}
        self._work: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._runners = [
            threading.Thread(target=self._run, args=(slot,), name=f"{service}-{slot}", daemon=True)
            for slot in range(threads)
        ]
        self._forgot = time.monotonic()

    def start(self) -> None:
        super().start()
        for runner in self._runners:
            runner.start()

    def stop(self, grace: float) -> None:
        """Take nothing new, finish what runs within `grace` seconds, give the rest back, close the journal."""
        end = time.monotonic() + grace
        self.stop_fetching()
        self._threads[0].join(max(0.0, end - time.monotonic() - 2))
        with contextlib.suppress(queue.Empty):
            while True:
                waiting = self._work.get_nowait()
                if waiting is not None:
                    self._give_back(waiting)
        for _ in self._runners:
            self._work.put(None)
        for runner in self._runners:
            runner.join(max(0.0, end - time.monotonic() - 2))
        self.journal.close()
        self.finish_all(max(1.0, end - time.monotonic()))
        self.limits.close()

    def leased_tasks(self) -> list[str]:
        if self.journal.trouble:
            # Nothing ends here until the disk is mended: another worker may have them when the relay asks again.
            return []
        with self._room:
            return list(self._tasks)

    def chores(self) -> None:
        if time.monotonic() - self._forgot > 600:
            self._forgot = time.monotonic()
            self.journal.forget_payloads()

    def take(self, deliveries: list[Delivery]) -> None:
        starts = [work for delivery in deliveries if (work := self._receive(delivery)) is not None]
        if starts:
            self._begin(starts)

    def _receive(self, delivery: Delivery) -> _Work | None:
        message = delivery.message
        with self._room:
            if message.message_id in self._tasks:
                # A second copy of what this process has in its hands: the first one's result answers both.
                self.done(delivery)
                return None
        try:
            sent = envelope(message)
            if message.message_id != str(sent.id):
                raise msgspec.ValidationError("its id is not its task's")
        except msgspec.ValidationError as error:
            log.error("dropped a message for %s that no relay made: %s", message.actor_name, error)
            self.done(delivery, leased=True)
            return None
        call = self._calls.get(message.actor_name)
        if call is None:
            # Newer code elsewhere may know it: back into the queue, but not at once, or it would go round like a top.
            log.warning("%s has no function %s: its message goes back", self.service, message.actor_name)
            self.later(1.0, lambda: self.done(delivery, ack=False))
            return None
        try:
            given = call.read(message.kwargs)
        except Refused as refused:
            self.refuse(delivery, sent.id, refused)
            return None
        with self._room:
            self._tasks[message.message_id] = delivery.id
        start = Start(
            task_id=message.message_id,
            name=message.actor_name,
            run_id=str(new_id()),
            queued_at=sent.queued_at,
            retries=sent.retries,
            traceparent=sent.traceparent,
        )
        return _Work(delivery, sent, call, given, start)

    def _begin(self, works: list[_Work]) -> None:
        try:
            found = self.journal.begin([work.start for work in works]).result()
        except JournalClosed:
            for work in works:
                self._give_back(work)
            return
        except Exception as error:  # noqa: BLE001 - one task's own fault, which must not hold up the others
            if len(works) > 1:
                for work in works:
                    self._begin([work])
            else:
                log.error("task %s can't be journalled: %s", works[0].start.task_id, error)
                self._put_off(works[0])
            return
        reach("journalled")
        if spans.on():
            for work in works:
                spans.event(
                    work.start.name, "journal", work.sent.traceparent, task=work.start.task_id, status="pending"
                )
        for work, ended in zip(works, found, strict=True):
            if ended is None:
                self._work.put(work)
            else:
                self._send(work, ended)

    def _give_back(self, work: _Work) -> None:
        self._forget(work)
        self.done(work.delivery, leased=True, ack=False)

    def _put_off(self, work: _Work) -> None:
        # Acked, so that it frees its place: the relay brings the task again.
        self._forget(work)
        self.done(work.delivery, leased=True)

    def _forget(self, work: _Work) -> None:
        with self._room:
            self._tasks.pop(work.start.task_id, None)

    def _run(self, slot: int) -> None:
        while (work := self._work.get()) is not None:
            try:
                self._take_up(slot, work)
            except Exception:  # the outermost point of a thread, which must not end with one task
                log.exception("task %s stumbled", work.start.task_id)
                self._put_off(work)

    def _take_up(self, slot: int, work: _Work) -> None:
        if work.tries and not self._stopping.is_set():
            again = msgspec.structs.replace(work.start, run_id=str(new_id()))
            work = msgspec.structs.replace(work, start=again)
            try:
                ended = self.journal.begin([again]).result()[0]
            except JournalClosed:
                self._give_back(work)
                return
            if ended is not None:
                self._send(work, ended)
                return
        if self._stopping.is_set():
            self._give_back(work)
            return
        self.journal.working(slot, work.start.run_id)
        try:
            self._work_on(work)
        finally:
            self.journal.working(slot, "")

    def _work_on(self, work: _Work) -> None:
        started_at, started = clock.now(), time.perf_counter()
        status, record, payload, error = "success", None, None, None
        task = Task(
            id=UUID(work.start.task_id),
            run_id=UUID(work.start.run_id),
            subject=work.sent.subject,
            attempt=work.sent.attempt,
            deadline=started_at + timedelta(seconds=work.call.seconds),
            traceparent=trace.enter(work.sent.traceparent),
        )
        try:
            reach("working")
            with self.limits(work.call.seconds):
                result = work.call.run(work.given, task)
            reach("done")
            if isinstance(result, Result):
                record = None if result.record is None else results.checked_json(result.record)
                payload = None if result.payload is None else results.checked_json(result.payload)
        except TimeLimitExceeded:
            status, error = "failure", TaskError("time-limit", f"This took longer than {work.call.seconds:g} s.")
        except TaskFailed as failed:
            status, error = "failure", TaskError(failed.code, storable(failed.message))
        except Unavailable as away:
            self._not_now(work, away)
            return
        except NotJson as refused:
            log.error("%s gave a result that can't be kept: %s", work.start.name, refused)
            status, record, payload, error = "failure", None, None, TaskError("internal", "Something went wrong here.")
        except Exception:  # the outermost point of a function: whatever it did, the task ends
            log.exception("%s failed on task %s", work.start.name, work.start.task_id)
            status, error = "failure", TaskError("internal", "Something went wrong here.")
        spans.send(
            f"{self.service}/{work.start.name}",
            "task",
            traceparent=task.traceparent,
            parent=work.sent.traceparent,
            started=started_at.timestamp(),
            seconds=time.perf_counter() - started,
            task=work.start.task_id,
            status=status,
            error=error.code if error else None,
        )
        self._end(work, status, record, payload, error, started_at.isoformat())

    def _not_now(self, work: _Work, away: Unavailable) -> None:
        if work.tries < len(PAUSES) and not self._stopping.is_set():
            log.info("%s waits: %s", work.start.name, away)
            again = msgspec.structs.replace(work, tries=work.tries + 1)
            self.later(PAUSES[work.tries], lambda: self._work.put(again))
            return
        log.warning("%s put off task %s: %s", work.start.name, work.start.task_id, away)
        self._put_off(work)

    def _end(
        self,
        work: _Work,
        status: Any,
        record: str | None,
        payload: str | None,
        error: TaskError | None,
        started_at: str,
    ) -> None:
        ended = Ended(
            task_id=work.start.task_id,
            run_id=work.start.run_id,
            status=status,
            completed_at=clock.now().isoformat(),
            result_hash=results.hash_result(status, _decoded(record), _decoded(payload), error),
            record=record,
            payload=payload,
            error=f"{error.code}: {error.message}" if error else None,
        )
        future = self.journal.end(ended, work.start, started_at)
        future.add_done_callback(lambda written: self._ended(work, ended, written))

    def _ended(self, work: _Work, ended: Ended, written: Future[None]) -> None:
        failed = written.exception()
        if failed is None:
            reach("ended")
            spans.event(work.start.name, "journal", work.sent.traceparent, task=ended.task_id, status=ended.status)
            self._send(work, ended)
        else:
            if not isinstance(failed, JournalClosed):
                log.error("task %s could not be journalled: %s", ended.task_id, failed)
            self._give_back(work)

    def _send(self, work: _Work, ended: Ended) -> None:
        try:
            error = results.split_error(ended.error)
            outcome = Outcome(
                task_id=UUID(ended.task_id),
                run_id=UUID(ended.run_id),
                subject=work.sent.subject,
                status=ended.status,
                completed_at=datetime.fromisoformat(ended.completed_at),
                record=_decoded(ended.record),
                payload=_decoded(ended.payload),
                error=TaskError(**error) if error else None,
            )
        except (ValueError, TypeError, msgspec.DecodeError):
            log.exception("what the journal has of task %s can't be sent", ended.task_id)
            self._put_off(work)
            return
        self._forget(work)
        self.done(work.delivery, [answer(work.sent, outcome)], leased=True)


def _decoded(text: str | None) -> Any:
    return None if text is None else msgspec.json.decode(text)


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

    told = _until_told()
    # The dead life of this worker may hold the file for a moment more.
    journal = Journal(Path(settings.journal_path), wait=5)
    broker = Broker(settings.broker_redis_url, consumer=f"{service.folder}-{journal.worker_id}")
    with contextlib.suppress(redis.RedisError, OSError):
        broker.life()
    parts = Parts(service, settings)
    calls = {name: bind_queue(actor, parts) for name, actor in load_queue_functions(service, broker).items()}
    for name, call in calls.items():
        if call.asynchronous:
            raise LoadError(f"functions/{service.folder}/{name}.py: it runs in a worker's thread: make it `def`")
    worker = Worker(service.folder, broker, journal, calls, threads=service.run.threads)
    journal.forget_payloads()
    observe(worker, broker, calls)
    for name, help_text, read in (
        ("eco2_journal_commits_total", "Commits of the journal", lambda: journal.commits),
        ("eco2_journal_stalled_seconds", "How long the commit under way has taken", journal.stalled),
        ("eco2_journal_failing", "1 while the journal can't be written", lambda: float(bool(journal.trouble))),
        ("eco2_function_over_limit_seconds", "How long a function is over its time limit", worker.limits.stuck),
    ):
        telemetry.gauges.add(name, help_text, read, service=service.folder)
    health = HealthServer(settings.host, settings.health_port, lambda: _health(worker))
    for said in journal.recovered:
        log.warning("%s", said)
    if sqlite3.sqlite_version_info < SQLITE_SOUND:
        log.info(
            "SQLite %s: before 3.51.3 two writers can corrupt a WAL, so a lock serialises them", sqlite3.sqlite_version
        )
    log.info("%s works: %s", service.name, ", ".join(sorted(calls)))
    worker.start()
    told.wait()
    log.info("%s stops", service.name)
    worker.stop(grace)
    health.close()
    broker.close()
    return 0


def _health(worker: Worker) -> dict[str, Any]:
    stuck = worker.limits.stuck()
    reasons = [said for said in (worker.trouble, worker.journal.trouble) if said]
    stalled = worker.journal.stalled()
    if stalled > 5:
        reasons.append(
            f"a commit of the journal has been under way for {stalled:.0f} s: is another program stopped in its lock?"
        )
    if stuck > 1:
        reasons.append(f"a function is {stuck:.0f} s over its time limit")
    return {
        "alive": stuck < STUCK,
        "ready": not worker.trouble and not worker.journal.trouble and stalled <= 5,
        "reasons": reasons,
        "recovered": worker.journal.recovered,
        "held": worker.held,
        "finished": worker.finished,
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
