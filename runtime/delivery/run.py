"""One run of a worker's function: from a message to how it ended, whatever the function does."""

from __future__ import annotations

import logging
import time
from datetime import timedelta
from typing import Any, Literal
from uuid import UUID

import msgspec
from msgspec import Struct

from runtime.binding import Call
from runtime.delivery.broker import Delivery
from runtime.delivery.envelope import Envelope, storable
from runtime.delivery.limits import Limits, TimeLimitExceeded
from runtime.journal import results
from runtime.journal.results import NotJson
from runtime.journal.states import Ended, Start
from shared import clock, spans, trace
from shared.errors import Unavailable
from shared.messages import Outcome, TaskError
from shared.tasks import Result, Task, TaskFailed

log = logging.getLogger("eco2.worker")

INTERNAL = TaskError("internal", "Something went wrong here.")


class Work(Struct):
    """A task in a worker's hands. `given` is its message as the function takes it, `tries` how often it met something away."""

    delivery: Delivery
    sent: Envelope
    call: Call
    given: Any
    start: Start
    tries: int = 0


class Ending(Struct, frozen=True):
    """How a function ended; `record` and `payload` are JSON."""

    record: str | None = None
    payload: str | None = None
    error: TaskError | None = None

    @property
    def status(self) -> Literal["success", "failure"]:
        return "failure" if self.error else "success"


def run(service: str, work: Work, limits: Limits) -> tuple[Ended, str]:
    """Call the function; return the task's terminal state and when the run began, in RFC 3339.

    Raises:
        Unavailable: something that it needs is away; it has not ended.
    """
    started_at, started = clock.now(), time.perf_counter()
    task = Task(
        id=work.sent.id,
        run_id=UUID(work.start.run_id),
        subject=work.sent.subject,
        attempt=work.sent.attempt,
        deadline=started_at + timedelta(seconds=work.call.seconds),
        traceparent=trace.enter(work.sent.traceparent),
    )
    said = {"status": "put off"}
    try:
        ending = _called(work, task, limits)
        error = ending.error
        said["status"] = ending.status
        if error is not None:
            said |= {"error": error.code, "said": error.message}
    except Unavailable as away:
        said |= spans.failure(away)
        raise
    finally:
        seconds = time.perf_counter() - started
        if spans.on():
            spans.send(
                f"{service}/{work.start.name}",
                "task",
                traceparent=task.traceparent,
                parent=work.sent.traceparent,
                started=started_at.timestamp(),
                seconds=seconds,
                task=work.start.task_id,
                run=work.tries + 1,
                **said,
            )
    why = f" ({error.code})" if error else ""
    log.info("%s task %s: %s%s in %.0f ms", work.start.name, work.start.task_id, ending.status, why, seconds * 1000)
    return _ended(work, ending), started_at.isoformat()


def _called(work: Work, task: Task, limits: Limits) -> Ending:
    try:
        with limits(work.call.seconds):
            result = work.call.run(work.given, task)
        if not isinstance(result, Result):
            return Ending()
        record = None if result.record is None else results.checked_json(result.record)
        payload = None if result.payload is None else results.checked_json(result.payload)
    except TimeLimitExceeded:
        return Ending(error=TaskError("time-limit", f"This took longer than {work.call.seconds:g} s."))
    except TaskFailed as failed:
        return Ending(error=TaskError(failed.code, storable(failed.message)))
    except Unavailable:
        raise
    except NotJson as refused:
        log.error("%s gave a result that can't be kept: %s", work.start.name, refused)
        return Ending(error=INTERNAL)
    except Exception:  # the outermost point of a function: whatever it did, the task ends
        log.exception("%s failed on task %s", work.start.name, work.start.task_id)
        return Ending(error=INTERNAL)
    return Ending(record, payload)


def _ended(work: Work, ending: Ending) -> Ended:
    error = ending.error
    return Ended(
        task_id=work.start.task_id,
        run_id=work.start.run_id,
        status=ending.status,
        completed_at=clock.now().isoformat(),
        result_hash=results.hash_result(ending.status, _decoded(ending.record), _decoded(ending.payload), error),
        record=ending.record,
        payload=ending.payload,
        error=f"{error.code}: {error.message}" if error else None,
    )


def outcome_of(sent: Envelope, ended: Ended) -> dict[str, Any]:
    """What the owner is told of a terminal state: an Outcome as JSON has it.

    Raises:
        ValueError (msgspec's errors are): the journal's row is none that was ever written.
    """
    outcome = {
        "task_id": ended.task_id,
        "run_id": ended.run_id,
        "subject": str(sent.subject),
        "status": ended.status,
        "completed_at": ended.completed_at,
        "record": _decoded(ended.record),
        "payload": _decoded(ended.payload),
        "error": results.split_error(ended.error),
    }
    msgspec.convert(outcome, Outcome)
    return outcome


def _decoded(text: str | None) -> Any:
    return None if text is None else msgspec.json.decode(text)
