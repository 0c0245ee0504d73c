"""Time limits of functions: of working time, which frozen time is not.

A laptop that slept, a paused container, a SIGSTOP: nothing ran meanwhile, and a function that had ten seconds left has them
still. A watcher notices by its own waits, which then took longer than they should.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import math
import threading
import time
from collections.abc import AsyncIterator, Iterator

from msgspec import Struct

from shared import supervision

# Seconds between two looks while something runs: a freeze is told to within so long.
TICK = 0.5
# A wait that took so many seconds longer than it should, while this process used no processor, was a freeze. Less is a busy
# machine, or a call that holds the interpreter.
FREEZE = 1.0


class TimeLimitExceeded(BaseException):
    """The function ran into its time limit. A BaseException, so that a function's own handlers let it pass."""


class Watch:
    """Tells how long the process was frozen between two looks."""

    def __init__(self) -> None:
        self._at = time.monotonic()
        self._used = time.process_time()

    def frozen(self, expected: float) -> float:
        """Seconds since the last look in which nothing ran; `expected` is how long it was to take at most."""
        now, used = time.monotonic(), time.process_time()
        late = now - self._at - expected - (used - self._used)
        self._at, self._used = now, used
        return late if late > FREEZE else 0.0


class _Armed(Struct):
    since: float
    until: float


class Limits:
    """Ends functions in threads that take too long, by an exception set in their thread, and never strikes outside of one."""

    def __init__(self) -> None:
        self._armed: dict[int, _Armed] = {}
        self._fired: dict[int, float] = {}
        self._begun = False  # something was armed since the last look
        self._next = math.inf  # when the watcher looks again by itself
        self._lock = threading.Lock()
        self._changed = threading.Event()
        self._closed = False
        self._loop = supervision.thread("limits", self._watch)

    @contextlib.contextmanager
    def __call__(self, seconds: float) -> Iterator[None]:
        """Raise TimeLimitExceeded inside the block after so many seconds of working time."""
        me, now = threading.get_ident(), time.monotonic()
        with self._lock:
            self._armed[me] = _Armed(now, now + seconds)
            self._begun, early = True, now + seconds < self._next
        # To wake another thread costs more than a short function: only where the watcher would be late.
        if early:
            self._changed.set()
        try:
            yield
        finally:
            self._disarm(me)

    def _disarm(self, me: int) -> None:
        try:
            with self._lock:
                self._take_back(me)
        except TimeLimitExceeded:
            # It struck on the way to the lock: it strikes once, so this time we get there.
            with self._lock:
                self._take_back(me)
            raise

    def _take_back(self, me: int) -> None:
        self._armed.pop(me, None)
        if self._fired.pop(me, None) is not None:
            # Set and perhaps not yet raised: it must not strike later, in the journal's commit.
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(me), None)

    def stuck(self) -> float:
        """For how many seconds the longest function has been over its limit without ending."""
        with self._lock:
            return max((time.monotonic() - fired for fired in self._fired.values()), default=0.0)

    def _watch(self) -> None:
        watch, pause = Watch(), 0.0
        while not self._closed:
            with self._lock:
                frozen = watch.frozen(pause)
                now = time.monotonic()
                if frozen:
                    self._shift(frozen, now)
                self._strike(now)
                busy = bool(self._begun or self._armed or self._fired)
                self._begun = False
                next_ = min((armed.until for armed in self._armed.values()), default=now + TICK) - now
                # Where nothing has run for a while there is nothing to look at.
                pause = max(0.0, min(next_, TICK)) if busy else 0.0
                self._next = now + pause if busy else math.inf
            self._changed.wait(pause if busy else None)
            self._changed.clear()
            if not busy:
                watch = Watch()

    def _shift(self, frozen: float, now: float) -> None:
        for armed in self._armed.values():
            armed.until += min(frozen, now - armed.since)
        for thread, fired in self._fired.items():
            self._fired[thread] = min(now, fired + frozen)

    def _strike(self, now: float) -> None:
        for thread, armed in list(self._armed.items()):
            if armed.until <= now:
                del self._armed[thread]
                self._fired[thread] = now
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(TimeLimitExceeded))

    def close(self) -> None:
        self._closed = True
        self._loop.stopping()
        self._changed.set()
        self._loop.stop()


@contextlib.asynccontextmanager
async def within(seconds: float) -> AsyncIterator[None]:
    """Raise TimeoutError inside the block after so many seconds of working time: the same for a coroutine."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(seconds) as limit:
        watch = Watch()
        handle: asyncio.TimerHandle | None = None

        def look() -> None:
            nonlocal handle
            # Earlier in the loop's order than the limit, although after a freeze both are due.
            frozen, until = watch.frozen(TICK), limit.when()
            if frozen and until is not None:
                limit.reschedule(until + frozen)
            handle = loop.call_later(TICK, look)

        handle = loop.call_later(TICK, look)
        try:
            yield
        finally:
            handle.cancel()
