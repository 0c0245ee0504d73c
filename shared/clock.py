"""The one source of time. Everything that decides by time asks here, so that a test or a developer can move it.

With `ECO2_CLOCK_FILE` set, the file's first eight bytes hold an offset in seconds (little-endian double) that is added
to the machine's clock in every process that maps the file; `eco2 clock advance` and the fault suite write it.
Without it, this is the machine's clock. Durations are measured with `time.monotonic`, which no one moves.
"""

import asyncio
import mmap
import os
import struct
import threading
import time as _time
from datetime import UTC, datetime
from pathlib import Path

_OFFSET = struct.Struct("<d")
SIZE = _OFFSET.size
# How often a waiter looks whether the clock was moved. Only where a clock file exists: in a pod no one polls.
_LOOK = 0.25
# Whoever waits no longer than this looks again soon anyway, and an idle system should be idle.
_SHORT = 1.0


def _map(path: str | None) -> mmap.mmap | None:
    if not path:
        return None
    with Path(path).open("rb") as file:
        return mmap.mmap(file.fileno(), SIZE, prot=mmap.PROT_READ)


class _Clock:
    """The file that this process follows, if any."""

    def __init__(self, path: str | None) -> None:
        self.file = _map(path)


_clock = _Clock(os.environ.get("ECO2_CLOCK_FILE"))


def use_file(path: str | None) -> None:
    """Follow another clock file, or the machine's clock with None (for tests and forked processes)."""
    _clock.file = _map(path)


def write_offset(path: str, seconds: float) -> None:
    """Set the offset in a clock file, making the file where it is absent."""
    with Path(path).open("r+b" if Path(path).exists() else "w+b") as file:
        file.write(_OFFSET.pack(seconds))


def offset() -> float:
    """Seconds by which the system's clock is ahead of the machine's."""
    return _OFFSET.unpack_from(_clock.file)[0] if _clock.file is not None else 0.0


def time() -> float:
    """Seconds since the Unix epoch."""
    return _time.time() + offset()


def now() -> datetime:
    """This moment, aware, in UTC."""
    return datetime.fromtimestamp(time(), UTC)


def wait(event: threading.Event, seconds: float) -> bool:
    """Wait for the event, at most so many seconds of the system's clock; return whether it was set."""
    if _clock.file is None or seconds <= _SHORT:
        return event.wait(max(0.0, seconds))
    end = _time.monotonic() + seconds + offset()
    while (left := end - _time.monotonic() - offset()) > 0:
        if event.wait(min(left, _LOOK)):
            return True
    return event.is_set()


def sleep(seconds: float) -> None:
    """Block this thread for so many seconds of the system's clock."""
    wait(threading.Event(), seconds)


async def asleep(seconds: float) -> None:
    """Suspend this task for so many seconds of the system's clock."""
    if _clock.file is None or seconds <= _SHORT:
        await asyncio.sleep(max(0.0, seconds))
        return
    end = _time.monotonic() + seconds + offset()
    while (left := end - _time.monotonic() - offset()) > 0:  # noqa: ASYNC110 - no event tells of a moved clock
        await asyncio.sleep(min(left, _LOOK))
