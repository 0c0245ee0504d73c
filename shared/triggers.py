"""The three triggers beside Litestar's routes: a queue, a schedule and a command.

`@queue(ProcessPhoto)` makes a Dramatiq actor of a function; its name, queue and time limit follow from the message's class.
The other two only mark theirs. `runtime/loader.py` finds them, `runtime/binding.py` gives them what their parameters name,
the relay runs schedules through the outbox, and `eco2 import NAME` runs commands.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from msgspec import Struct

if TYPE_CHECKING:
    import dramatiq

    from shared.messages import Message, Outcome

P = ParamSpec("P")
R = TypeVar("R")
Scheduled = TypeVar("Scheduled", bound=Callable[..., Awaitable[None]])
Command = TypeVar("Command", bound=Callable[..., Awaitable[int]])


class Schedule(Struct, frozen=True):
    """Run once per slot of `every` seconds, in one replica."""

    every: float


def queue(takes: type[Message] | type[Outcome]) -> Callable[[Callable[P, R]], dramatiq.Actor[P, R]]:
    """Make a Dramatiq actor of a function that takes messages of one class, or the outcomes of its service's tasks.

    Called with its message and its parts, the actor runs the function itself: `await answered(outcome, db, progress)`.
    """

    def make(function: Callable[P, R]) -> dramatiq.Actor[P, R]:
        import dramatiq
        from dramatiq.brokers.stub import StubBroker

        folder = takes.actor.partition("/")[0]
        if folder == "*":
            folder = function.__module__.split(".")[-2]
        function.__eco2_takes__ = takes  # type: ignore[attr-defined] # the mark
        # An actor declares itself where it is made: on a mute broker of its own, for several services have an
        # `erase_person`. The loader declares it on its service's.
        made = dramatiq.actor(queue_name=folder, time_limit=takes.time_limit, broker=StubBroker())
        actor: dramatiq.Actor[P, R] = made(function)
        # Dramatiq wraps a coroutine function for an event loop of its own; ours is the host's.
        actor.fn = function
        return actor

    return make


def schedule(*, every: float) -> Callable[[Scheduled], Scheduled]:
    """Mark an async function, whose parameters are parts, to run once every so many seconds."""

    def mark(function: Scheduled) -> Scheduled:
        function.__eco2_schedule__ = Schedule(every)  # type: ignore[attr-defined] # the mark
        return function

    return mark


def command(name: str) -> Callable[[Command], Command]:
    """Mark an async function as `eco2 import NAME`: its first parameter is the command line's words, it returns an exit code."""

    def mark(function: Command) -> Command:
        function.__eco2_command__ = name  # type: ignore[attr-defined] # the mark
        return function

    return mark
