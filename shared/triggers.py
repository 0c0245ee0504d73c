"""The two triggers that neither Litestar nor Dramatiq offers: a schedule and a command.

A decorator only marks the function; `runtime.loader` finds the marks, the relay runs schedules through the outbox, and
`eco2 import NAME` runs commands.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from msgspec import Struct

Scheduled = TypeVar("Scheduled", bound=Callable[[], Awaitable[None]])
Command = TypeVar("Command", bound=Callable[[list[str]], Awaitable[int]])


class Schedule(Struct, frozen=True):
    """Run once per slot of `every` seconds, in one replica."""

    every: float


def schedule(*, every: float) -> Callable[[Scheduled], Scheduled]:
    """Mark an async function without parameters to run once every so many seconds."""

    def mark(function: Scheduled) -> Scheduled:
        function.__eco2_schedule__ = Schedule(every)  # type: ignore[attr-defined]
        return function

    return mark


def command(name: str) -> Callable[[Command], Command]:
    """Mark an async function that takes the command line's words and returns an exit code as `eco2 import NAME`."""

    def mark(function: Command) -> Command:
        function.__eco2_command__ = name  # type: ignore[attr-defined]
        return function

    return mark
