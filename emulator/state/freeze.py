"""Processes that stand still, with all their children, while their state is copied."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from emulator.process import alive, state_of


def family(pid: int) -> Iterator[int]:
    """A process and all its descendants, parents first."""
    yield pid
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return
    for thread in threads:
        try:
            children = (thread / "children").read_text().split()
        except OSError:
            continue
        for child in children:
            yield from family(int(child))


def freeze(pids: list[int]) -> list[int]:
    """Stop processes and their children; return all that stand still now. Parents first: the stopped have no more children."""
    stopped = []
    for pid in pids:
        for member in family(pid):
            try:
                os.kill(member, signal.SIGSTOP)
            except ProcessLookupError:
                continue
            stopped.append(member)
    deadline = time.monotonic() + 2
    while any(state_of(pid) == "runs" for pid in stopped) and time.monotonic() < deadline:
        time.sleep(0.001)
    return stopped


def thaw(pids: list[int]) -> None:
    for pid in reversed(pids):
        if alive(pid):
            os.kill(pid, signal.SIGCONT)
