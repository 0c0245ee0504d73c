"""What should live for ever is started here: asyncio tasks and threads whose end no one awaits.

An end that no one asked for is logged with its reason, counted (`eco2_loop_ends_total`), shown in the process's health, and
the loop starts again after a pause that doubles; a loop that can't live, or that must not be started twice, ends its process
with the code EXIT, so that whoever keeps the process sees it. Errors that a loop expects (a store that is away) are its own.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Literal

from msgspec import Struct

log = logging.getLogger("eco2.supervision")

# The exit code of a process one of whose loops could not be kept alive.
EXIT = 70
# Seconds before the first new start; it doubles up to the longest.
PAUSE, LONGEST = 0.1, 10.0
# A loop that lived so many seconds has got over what ended it before.
SETTLED = 60.0
# So many ends in a row, and the loop can't live here.
MOST = 10
# Seconds after which a task that was cancelled and runs on is cancelled once more.
STUBBORN = 3.0

State = Literal["runs", "waits", "stopped", "done", "given up"]


class Killed(BaseException):
    """Thrown into a thread by `Loop.kill`."""


class LoopState(Struct, frozen=True):
    """What health and status say of a loop. `ends` counts those that no one asked for, `reason` is the last one's."""

    name: str
    state: State
    ends: int
    reason: str


def end_process(name: str, reason: str) -> None:
    """Leave at once: what was accepted is on disk, and half a process is worse than none."""
    logging.shutdown()
    os._exit(EXIT)


class Rules(Struct, frozen=True):
    """How a loop is kept; the meaning is said at `task`."""

    again: bool
    patience: float | None
    give_up: Callable[[str, str], None]


class Loop:
    """One loop: it `runs`, `waits` for its next start, was `stopped`, is `done` (a task with an end) or `given up`."""

    def __init__(self, name: str, rules: Rules) -> None:
        self.name = name
        self.state: State = "runs"
        self.ends = 0
        self.reason = ""
        self._rules = rules
        self._in_a_row = 0
        self._born = self._beat = time.monotonic()
        with _lock:
            _loops.append(self)

    def beat(self) -> None:
        """Say that the loop goes round: one with a `patience` that does not for so long is said to hang."""
        self._beat = time.monotonic()

    def trouble(self) -> str:
        """What is wrong with it just now, one sentence; empty while it is well."""
        if self.state in ("waits", "given up"):
            return f"{self.name} ended ({self.reason}) and {'starts again' if self.state == 'waits' else 'is given up'}"
        still = time.monotonic() - self._beat
        if self.state == "runs" and (patience := self._rules.patience) is not None and still > patience:
            return f"{self.name} has not moved for {still:.0f} s"
        return ""

    def kill(self) -> None:
        """End the run under way as a fault would: for tests of what happens then."""
        raise NotImplementedError

    def _begin(self) -> None:
        self.state = "runs"
        self._born = self._beat = time.monotonic()

    def _finish(self, state: State) -> None:
        self.state = state
        with _lock:
            if self in _loops:
                _loops.remove(self)

    def _ended(self, error: BaseException | None) -> float | None:
        """Note an end that no one asked for. The pause before the next start in seconds, or None when there is none."""
        self.ends += 1
        self.reason = f"{type(error).__name__}: {error}".rstrip(": ") if error else "it returned"
        with _lock:
            _ends[self.name] = _ends.get(self.name, 0) + 1
        self._in_a_row = 1 if time.monotonic() - self._born >= SETTLED else self._in_a_row + 1
        if not self._rules.again or self._in_a_row > MOST:
            self.state = "given up"
            log.critical("%s ended and can't be started again: %s", self.name, self.reason, exc_info=error)
            self._rules.give_up(self.name, self.reason)
            return None
        self.state = "waits"
        pause = min(PAUSE * 2.0 ** (self._in_a_row - 1), LONGEST)
        log.error("%s ended, it starts again in %.1f s: %s", self.name, pause, self.reason, exc_info=error)
        return pause


class TaskLoop(Loop):
    """A loop on the running event loop."""

    def __init__(self, name: str, run: Callable[[], Awaitable[None]], rules: Rules, *, once: bool) -> None:
        super().__init__(name, rules)
        self._run = run
        self._once = once
        self._inner: asyncio.Task[None] | None = None
        self._outer = asyncio.create_task(self._keep(), name=f"keeps {name}")

    async def stop(self) -> None:
        """Cancel it and wait until it has ended."""
        self._outer.cancel()
        await asyncio.wait({self._outer})
        if self.state in ("runs", "waits", "given up"):  # cancelled before its first step, or over before
            self._finish("stopped")

    def kill(self) -> None:
        if self._inner is not None:
            self._inner.cancel()

    async def _keep(self) -> None:
        try:
            while True:
                self._begin()
                # A task of its own: its cancellation is a fault, that of the task around it is a stop.
                self._inner = asyncio.create_task(self._once_run(), name=self.name)
                await asyncio.wait({self._inner})
                error = asyncio.CancelledError("cancelled") if self._inner.cancelled() else self._inner.exception()
                if self._once and error is None:
                    self._finish("done")
                    return
                pause = self._ended(error)
                if pause is None:
                    return
                await asyncio.sleep(pause)
        except asyncio.CancelledError:
            # More than once: `asyncio.wait_for` of Python 3.11 (redis-py sends in one) loses a cancellation that comes as it
            # ends, and a loop would go on for ever.
            while self._inner is not None and not self._inner.done():
                self._inner.cancel()
                await asyncio.wait({self._inner}, timeout=STUBBORN)
            self._finish("stopped")

    async def _once_run(self) -> None:
        await self._run()


class ThreadLoop(Loop):
    """A loop in a daemon thread of its own."""

    def __init__(self, name: str, run: Callable[[], None], rules: Rules) -> None:
        super().__init__(name, rules)
        self._run = run
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=name, daemon=True)
        self._thread.start()

    def stopping(self) -> None:
        """From now on an end is asked for. Whoever says so also wakes the loop, by its own means."""
        self._stopping.set()

    def stop(self, timeout: float | None = None) -> bool:
        """Wait for its end, at most so many seconds; False when it still runs then."""
        self.stopping()
        self._thread.join(timeout)
        if self.state == "given up":
            self._finish("stopped")
        return not self._thread.is_alive()

    def kill(self) -> None:
        """Takes effect at the thread's next step in Python: one that waits has to be woken."""
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread.ident or 0), ctypes.py_object(Killed))

    def _keep(self) -> None:
        while True:
            self._begin()
            error: BaseException | None = None
            try:
                self._run()
            except BaseException as raised:  # noqa: BLE001 - a thread's outermost point: whatever ends it is said
                error = raised
            if self._stopping.is_set():
                if error is not None:
                    log.error("%s failed while it stopped", self.name, exc_info=error)
                self._finish("stopped")
                return
            pause = self._ended(error)
            if pause is None:
                return
            self._stopping.wait(pause)
            if self._stopping.is_set():
                self._finish("stopped")
                return


def task(
    name: str,
    run: Callable[[], Awaitable[None]],
    *,
    once: bool = False,
    again: bool = True,
    patience: float | None = None,
    give_up: Callable[[str, str], None] = end_process,
) -> TaskLoop:
    """Keep `run()` running on the event loop until `await stop()`, or until whoever runs the loop cancels all tasks.

    Args:
        once: it has an end: done when it returns, started again only when it raises.
        again: False for what must not be started twice in a process: its end is the process's.
        patience: seconds without a `beat` after which it is said to hang.
        give_up: called with name and reason when there is no other start.
    """
    return TaskLoop(name, run, Rules(again, patience, give_up), once=once)


def thread(
    name: str,
    run: Callable[[], None],
    *,
    again: bool = True,
    patience: float | None = None,
    give_up: Callable[[str, str], None] = end_process,
) -> ThreadLoop:
    """Keep `run()` running in a thread until `stop()`; the arguments are those of `task`."""
    return ThreadLoop(name, run, Rules(again, patience, give_up))


def loops() -> list[Loop]:
    """Every loop of this process that was not stopped."""
    with _lock:
        return list(_loops)


def states() -> list[LoopState]:
    """What /healthz and /readyz show of them."""
    return [LoopState(loop.name, loop.state, loop.ends, loop.reason) for loop in loops()]


def troubles() -> list[str]:
    """What is wrong with any of them just now, one sentence each."""
    return [said for loop in loops() if (said := loop.trouble())]


def ends() -> dict[str, int]:
    """How often each loop of this process ended though no one asked, by name."""
    with _lock:
        return dict(_ends)


_lock = threading.Lock()
_loops: list[Loop] = []
_ends: dict[str, int] = {}
