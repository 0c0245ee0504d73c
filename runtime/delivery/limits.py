"""Time limits of functions that run in threads."""

from __future__ import annotations

import contextlib
import ctypes
import threading
import time
from collections.abc import Iterator


class TimeLimitExceeded(BaseException):
    """The function ran into its time limit. A BaseException, so that a function's own handlers let it pass."""


class Limits:
    """Ends functions that take too long, by an exception set in their thread, and never strikes outside of one."""

    def __init__(self) -> None:
        self._armed: dict[int, float] = {}
        self._fired: dict[int, float] = {}
        self._lock = threading.Lock()
        self._changed = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._watch, name="limits", daemon=True)
        self._thread.start()

    @contextlib.contextmanager
    def __call__(self, seconds: float) -> Iterator[None]:
        """Raise TimeLimitExceeded inside the block after so many seconds."""
        me = threading.get_ident()
        with self._lock:
            self._armed[me] = time.monotonic() + seconds
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
        while not self._closed:
            with self._lock:
                now = time.monotonic()
                for thread, deadline in list(self._armed.items()):
                    if deadline <= now:
                        del self._armed[thread]
                        self._fired[thread] = now
                        ctypes.pythonapi.PyThreadState_SetAsyncExc(
                            ctypes.c_ulong(thread), ctypes.py_object(TimeLimitExceeded)
                        )
                next_ = min(self._armed.values(), default=now + 60.0) - now
            self._changed.wait(max(0.0, min(next_, 60.0)))
            self._changed.clear()

    def close(self) -> None:
        self._closed = True
        self._changed.set()
        self._thread.join()
