"""Which run each thread of a worker is at, noted so that it outlives the process."""

import mmap
import os
from pathlib import Path

_SLOT = 40
_SLOTS = 256


class Slots:
    """Which run each thread is at, in a mapped file: written without a system call, and it outlives a killed process.

    So a run that was truly under way when the worker died is told apart from those that only waited their turn.
    """

    def __init__(self, path: Path) -> None:
        size = _SLOT * _SLOTS
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        # Allocated, not sparse: a write into a hole of a full disk is a SIGBUS.
        if os.fstat(self._file).st_size < size:
            try:
                os.posix_fallocate(self._file, 0, size)
            except OSError:
                os.close(self._file)
                raise
        self._map = mmap.mmap(self._file, size)

    def take(self) -> list[str]:
        raw = (self._map[i : i + 36] for i in range(0, _SLOT * _SLOTS, _SLOT))
        return [slot.decode("ascii", "replace") for slot in raw if slot.strip(b"\0")]

    def clear(self) -> None:
        self._map[:] = bytes(_SLOT * _SLOTS)

    def set(self, slot: int, run_id: str) -> None:
        start = slot * _SLOT
        self._map[start : start + 36] = run_id.encode("ascii").ljust(36, b"\0")

    def close(self) -> None:
        self._map.close()
        os.close(self._file)
