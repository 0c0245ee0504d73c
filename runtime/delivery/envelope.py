"""What a message carries beside its fields, and the messages that take outcomes back."""

from __future__ import annotations

from typing import Any

import dramatiq
import msgspec

from runtime.delivery.relay import Envelope
from shared import clock
from shared.messages import Outcome

# The runtime's own actor in every API service: ends a task that nobody takes the outcome of.
SETTLED = "__settled__"


def envelope(message: dramatiq.Message[Any]) -> Envelope:
    """What a message carries beside the arguments.

    Raises:
        msgspec.ValidationError: it was not made by a relay.
    """
    return msgspec.convert(message.options.get("task"), Envelope)


def answer(sent: Envelope, outcome: Outcome) -> dramatiq.Message[Any]:
    """The message that takes an outcome to the owner of its task."""
    folder, _, function = (sent.reply or f"{sent.service}/{SETTLED}").partition("/")
    return dramatiq.Message(
        queue_name=folder,
        actor_name=function,
        args=(),
        kwargs={"outcome": msgspec.to_builtins(outcome)},
        options={"task": msgspec.to_builtins(msgspec.structs.replace(sent, answer=True, deadline=""))},
        message_id=str(sent.id),
        message_timestamp=int(clock.time() * 1000),
    )


def storable(text: str) -> str:
    # A message for a person must not be what keeps the task from ending.
    return text.replace("\x00", "").encode("utf-8", "replace").decode()[:2000]
