"""Queue functions as they are called, and the messages that take their outcomes back."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, get_type_hints

import dramatiq
import msgspec
from msgspec import Struct

from runtime.delivery.relay import Envelope
from shared import clock
from shared.messages import Outcome

# The runtime's own actor in every API service: ends a task that nobody takes the outcome of.
SETTLED = "__settled__"
DEFAULT_LIMIT = 600_000


class Call(Struct, frozen=True):
    """A queue function ready to be called with a message's arguments."""

    function: Callable[..., Any]
    arguments: type[Struct] | None
    seconds: float

    def bind(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """The message's JSON as what the function's annotations say (UUIDs, Structs); unknown fields are left out.

        Raises:
            msgspec.ValidationError: a field is missing or of the wrong form.
        """
        if self.arguments is None:
            return kwargs
        bound = msgspec.convert(kwargs, self.arguments)
        return {name: getattr(bound, name) for name in self.arguments.__struct_fields__}


def call_of(actor: dramatiq.Actor[Any, Any]) -> Call:
    """How to call an actor. Dramatiq wraps coroutine functions for its own event loop; ours is the host's."""
    function = inspect.unwrap(actor.fn)
    return Call(function, arguments_of(function), float(actor.options.get("time_limit") or DEFAULT_LIMIT) / 1000)


def arguments_of(function: Callable[..., Any]) -> type[Struct] | None:
    fields: list[Any] = []
    hints = get_type_hints(function)
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            return None
        hint = hints.get(parameter.name, Any)
        fields.append(
            (parameter.name, hint)
            if parameter.default is parameter.empty
            else (parameter.name, hint, parameter.default)
        )
    return msgspec.defstruct(getattr(function, "__name__", "Arguments"), fields, kw_only=True)


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
