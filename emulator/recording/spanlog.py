"""The spans of all processes, written into the recording that is open: the dashboard hears them, and keeps them here."""

import os
import socket
from pathlib import Path

from emulator.recording import opened
from emulator.recording.form import LARGEST, SPANS
from emulator.state.folder import State

# What the kernel keeps for a reader that is busy; as root more than it gives others.
_BUFFER = 8 * 1024 * 1024


class SpanLog:
    """Writes each span as a line; nothing while no recording is open."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._mark = state.path / opened.OPEN
        self._seen = 0
        self._file: int | None = None

    def __call__(self, spans: list[bytes]) -> None:
        try:
            seen = self._mark.stat().st_ino
        except OSError:
            seen = 0
        if seen != self._seen:
            self._seen = seen
            self._reopen()
        if self._file is not None and os.fstat(self._file).st_size < LARGEST // 4:
            os.write(self._file, b"".join([span + b"\n" for span in spans]))

    def _reopen(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
        folder = opened.open_one(self._state) if self._seen else None
        if folder is not None:
            self._file = os.open(folder / SPANS, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def widen(wire: socket.socket) -> bool:
    """Have the kernel keep more for a moment: a lost span would look like a statement that was not made. Whether it does."""
    for option in (getattr(socket, "SO_RCVBUFFORCE", socket.SO_RCVBUF), socket.SO_RCVBUF):
        try:
            wire.setsockopt(socket.SOL_SOCKET, option, _BUFFER)
            break
        except OSError:
            continue
    # What may not be had is cut down without a word.
    return wire.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) >= _BUFFER


def lost(port: int) -> int:
    """How many datagrams for this port the kernel has dropped so far; 0 where it does not say."""
    try:
        lines = Path("/proc/net/udp").read_text().splitlines()[1:]
    except OSError:
        return 0
    mark = f":{port:04X}"
    return sum(int(fields[-1]) for line in lines if (fields := line.split()) and fields[1].endswith(mark))
