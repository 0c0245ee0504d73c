"""Messages: a task on its way to its function, and its outcome on the way back."""

from __future__ import annotations

from collections.abc import Container
from typing import Any
from uuid import UUID

import dramatiq
import msgspec
from msgspec import Struct

from runtime.delivery.outbox import Row
from shared import clock
from shared.messages import Message
from shared.wake import Accepted

# The runtime's own actor in every API service: ends a task that no one takes the outcome of.
SETTLED = "__settled__"


class Envelope(Struct, frozen=True):
    """What a message carries beside the actor's arguments, as `options["task"]`. `service` is the owner's folder.

    `deadline` is when the relay publishes the task again, in RFC 3339: a copy that is older still may run.
    """

    id: UUID
    subject: UUID
    service: str
    queued_at: str
    reply: str | None = None
    traceparent: str = ""
    attempt: int = 1
    retries: int = 0
    deadline: str = ""
    # Whose it is, under a name that does not say who: a fetch serves people in turn.
    person: str = ""
    # An Outcome on its way back, not a task.
    is_outcome: bool = msgspec.field(default=False, name="answer")


def bulk_actors() -> frozenset[str]:
    """The functions of this process's messages whose work is bulk."""
    found, classes = set(), [Message]
    while classes:
        message = classes.pop()
        classes += message.__subclasses__()
        if message.bulk:
            found.add(message.actor)
    return frozenset(found)


def bulk_queue(folder: str) -> str:
    """The queue of a service's bulk work."""
    return f"{folder}.bulk"


def queue_of(actor: str, bulk: Container[str] = ()) -> str:
    """The queue of a function; `bulk` are those that have a queue of their own."""
    folder = actor.partition("/")[0]
    return bulk_queue(folder) if actor in bulk else folder


def task_message(service: str, task: Accepted, bulk: Container[str] = ()) -> dramatiq.Message[Any]:
    """The message that takes a task to its function: one of the outbox (`Row`), or one that has just been accepted.

    Raises:
        msgspec.DecodeError: the outbox has no message that is one.
    """
    arguments = task.message
    if isinstance(arguments, str):
        arguments = msgspec.json.decode(arguments, type=dict[str, Any])
    envelope = Envelope(
        id=task.id,
        subject=task.subject,
        service=service,
        queued_at=task.created_at.isoformat(),
        reply=task.reply,
        traceparent=task.traceparent or "",
        attempt=task.attempts if isinstance(task, Row) else 1,
        retries=task.retries if isinstance(task, Row) else 0,
        deadline=(clock.now() + task.time_limit).isoformat(),
        person=task.person or "",
    )
    return _message(queue_of(task.actor, bulk), task.actor.partition("/")[2], arguments, envelope)


def outcome_message(sent: Envelope, outcome: dict[str, Any]) -> dramatiq.Message[Any]:
    """The message that takes an outcome, as JSON has it, to the owner of its task."""
    folder, _, function = (sent.reply or f"{sent.service}/{SETTLED}").partition("/")
    envelope = msgspec.structs.replace(sent, is_outcome=True, deadline="", person="")
    return _message(folder, function, {"outcome": outcome}, envelope)


def _message(queue: str, function: str, arguments: dict[str, Any], envelope: Envelope) -> dramatiq.Message[Any]:
    return dramatiq.Message(
        queue_name=queue,
        actor_name=function,
        args=(),
        kwargs=arguments,
        options={"task": msgspec.to_builtins(envelope)},
        message_id=str(envelope.id),
        message_timestamp=int(clock.time() * 1000),
    )


def envelope(message: dramatiq.Message[Any]) -> Envelope:
    """What a message carries beside the arguments.

    Raises:
        msgspec.ValidationError: it was not made by a relay.
    """
    found = msgspec.convert(message.options.get("task"), Envelope)
    if message.message_id != str(found.id):
        raise msgspec.ValidationError("its id is not its task's")
    return found


def storable(text: str) -> str:
    """A message for a person as every store takes it: it must not be what keeps the task from ending."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()[:2000]
