"""Wakes the relay of this process when a transaction that accepted a task has committed."""

from collections.abc import Callable

_wakers: set[Callable[[], None]] = set()


def register(waker: Callable[[], None]) -> Callable[[], None]:
    """Have `waker` called after each commit that enqueued something; the answer takes it off again."""
    _wakers.add(waker)
    return lambda: _wakers.discard(waker)


def wake() -> None:
    """Call every waker. Cheap, and harmless where nothing is due."""
    for waker in tuple(_wakers):
        waker()
