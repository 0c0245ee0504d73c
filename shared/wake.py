"""Tells the relay of this process of tasks whose transaction has committed, so that it need not look for them."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

from msgspec import Struct

# A task that is handed to the relay of its process is due for every relay only after this: by then the first one has published
# it and said so, or is dead.
HANDED = timedelta(seconds=5)


class Accepted(Struct, kw_only=True):
    """A task as its row in the outbox has it. `person` is a name for whose it is, empty for no one's."""

    id: UUID
    actor: str
    message: Any
    reply: str | None
    subject: UUID
    traceparent: str | None
    created_at: datetime
    time_limit: timedelta
    person: str | None = None


class Waker(Protocol):
    """A relay, as whoever accepts tasks sees it. Both may be called from any thread."""

    dsn: str

    def wake(self) -> None:
        """Look into the outbox."""

    def hand(self, accepted: Sequence[Accepted]) -> None:
        """Publish these, which have just been committed."""


_wakers: list[Waker] = []


def register(waker: Waker) -> None:
    """Have `waker` told of each commit that accepted a task."""
    _wakers.append(waker)


def unregister(waker: Waker) -> None:
    """Undo `register`."""
    if waker in _wakers:
        _wakers.remove(waker)


def relay_of(dsn: str) -> Waker | None:
    """The relay of this process that publishes what is accepted through this connection string, if there is one."""
    return next((waker for waker in _wakers if waker.dsn == dsn), None)


def wake() -> None:
    """Have every relay look. Cheap, and harmless where nothing is due."""
    for waker in tuple(_wakers):
        waker.wake()
