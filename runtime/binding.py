"""Gives a function what its parameters name, once, at start: one way for every trigger.

A queue, schedule or command function becomes a call with its parts inside; `runtime/http/binding.py` does the same for a
Litestar handler. What is wrong with a function's parameters is said here, before the first task.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin, get_type_hints

from msgspec import Struct

from runtime.forms import Form
from runtime.loader import LoadError
from runtime.services import suggestion
from shared import parts as known
from shared.messages import Message, Outcome
from shared.parts import Made
from shared.progress import Progress
from shared.tasks import Task

if TYPE_CHECKING:
    import dramatiq

    from shared.progress import Publisher

# How long a schedule's function may run, in seconds.
SCHEDULE_LIMIT = 600.0
# What each parameter's name gives, by the alias that it must be marked with.
PARTS: dict[str, Any] = {
    "db": known.Db,
    "objects": known.Objects,
    "calls": known.Calls,
    "cache": known.Cache,
    "broker": known.Broker,
    "settings": known.Settings,
    "progress": known.Progress,
    "task": known.Task,
}


class Call(Struct, frozen=True):
    """A queue or schedule function with its parts: `run(message, task)`; `form` reads the message.

    `many`: it takes a list of outcomes, and is called with all that are there.
    """

    run: Callable[[Any, Task], Any]
    form: Form | None
    seconds: float
    asynchronous: bool
    many: bool = False

    def read(self, arguments: dict[str, Any]) -> Any:
        """What the function takes of a Dramatiq message's arguments.

        Raises:
            Refused: this version of the code can't read it.
        """
        if self.form is None:
            return None
        if issubclass(self.form.takes, Outcome):
            arguments = arguments.get("outcome", {})
        return self.form.read(arguments)


def bind_queue(actor: dramatiq.Actor[Any, Any], parts: Mapping[str, Any]) -> Call:
    """An actor of `shared.triggers.queue`.

    Raises:
        LoadError: its name is not its message's, or a parameter is nothing that a function can be given.
    """
    function, takes = actor.fn, getattr(actor.fn, "__eco2_takes__", None)
    where = _where(function)
    if takes is None:
        raise LoadError(f"{where}: make it an actor with @queue(Message) of shared/triggers.py")
    if takes.actor.replace("*", actor.queue_name, 1) != f"{actor.queue_name}/{actor.actor_name}":
        raise LoadError(f"{where}: {takes.__name__} names {takes.actor} as the function that takes it")
    return _bound(function, parts, takes, takes.time_limit / 1000)


def bind_schedule(function: Callable[..., Any], parts: Mapping[str, Any]) -> Call:
    """A schedule function.

    Raises:
        LoadError: a parameter is nothing that a function can be given.
    """
    return _bound(function, parts, None, SCHEDULE_LIMIT)


def bind_command(function: Callable[..., Any], parts: Mapping[str, Any]) -> Callable[[list[str]], Any]:
    """A command function: a call that takes the words alone.

    Raises:
        LoadError: a parameter is nothing that a function can be given.
    """
    _words, *others = inspect.signature(function).parameters
    constants, _ = _constants(function, others, parts)
    return functools.partial(function, **constants)


def made(hint: Any) -> Made | None:
    """How a part of the service's own is made, if a parameter's annotation is one."""
    if get_origin(hint) is Annotated:
        return next((mark for mark in get_args(hint)[1:] if isinstance(mark, Made)), None)
    return None


def _bound(function: Callable[..., Any], parts: Mapping[str, Any], takes: type[Struct] | None, seconds: float) -> Call:
    hints = get_type_hints(function)
    names = list(inspect.signature(function).parameters)
    many = [name for name in names if takes and issubclass(takes, Outcome) and hints.get(name) == list[Outcome]]
    taken = many or [
        name for name in names if takes and _is_message(hints.get(name)) and issubclass(takes, hints[name])
    ]
    if takes is not None and len(taken) != 1:
        word = "outcome: Outcome" if issubclass(takes, Outcome) else f"message: {takes.__name__}"
        raise LoadError(f"{_where(function)}: one parameter takes the message, such as `{word}`")
    constants, per_run = _constants(function, [name for name in names if name not in taken], parts)
    if many and per_run:
        raise LoadError(
            f"{_where(function)}: it takes many outcomes, so there is no one {' or '.join(sorted(per_run))}"
        )
    run = functools.partial(function, **constants)
    message = taken[0] if taken else None
    publisher: Publisher | None = parts["publisher"] if "progress" in per_run else None

    def call(given: Any, task: Task) -> Any:
        arguments = {} if message is None else {message: given}
        if "task" in per_run:
            arguments["task"] = task
        if publisher is not None:
            arguments["progress"] = Progress(publisher, task)
        return run(**arguments)

    return Call(call, Form(takes) if takes else None, seconds, inspect.iscoroutinefunction(function), bool(many))


def _constants(
    function: Callable[..., Any], names: list[str], parts: Mapping[str, Any]
) -> tuple[dict[str, Any], set[str]]:
    """The parts that are the same for every run, and the names of those that are not."""
    hints = get_type_hints(function, include_extras=True)
    constants: dict[str, Any] = {}
    per_run = set()
    for name in names:
        hint = hints.get(name)
        if (own := made(hint)) is not None:
            constants[name] = parts[own]  # type: ignore[index] # a part of the service's own, by how it is made
        elif name not in PARTS:
            raise LoadError(
                f"{_where(function)}: no function can be given a {name}{suggestion(name, list(PARTS))}"
                " (shared/parts.py lists what there is)"
            )
        elif hint != PARTS[name]:
            raise LoadError(f"{_where(function)}: {name} is marked with another part's alias: see shared/parts.py")
        elif name in ("task", "progress"):
            per_run.add(name)
        else:
            constants[name] = parts[name]
    return constants, per_run


def _is_message(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, Message | Outcome)


def _where(function: Callable[..., Any]) -> str:
    return f"{function.__module__.replace('.', '/')}.py: {function.__name__}"
