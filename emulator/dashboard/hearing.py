"""Spans as they come by UDP, taken in a few hundredths of a second at a time: to wake for each costs more than to take it in."""

import asyncio
import socket
from collections.abc import Callable

from emulator.recording import spanlog

# Seconds that they may lie in the kernel's buffer, and where that may not be widened and holds a hundred of them.
_TOGETHER, _NARROW = 0.05, 0.01
# So many a turn; what else the process does is in between.
_AT_ONCE = 500
# A datagram has at most so many bytes.
_LONGEST = 65_535


class Hearing:
    """Gives `take` what comes to `address`, until it is closed."""

    def __init__(self, address: tuple[str, int], take: Callable[[list[bytes]], None]) -> None:
        self._take = take
        self._wire = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._wire.setblocking(False)
        self._wire.bind(address)
        self._pause = _TOGETHER if spanlog.widen(self._wire) else _NARROW
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._wait()

    @property
    def address(self) -> tuple[str, int]:
        found: tuple[str, int] = self._wire.getsockname()
        return found

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._loop.remove_reader(self._wire)
        self._wire.close()

    def _wait(self) -> None:
        self._loop.add_reader(self._wire, self._came)

    def _came(self) -> None:
        self._loop.remove_reader(self._wire)
        self._timer = self._loop.call_later(self._pause, self._hear)

    def _hear(self) -> None:
        heard = list[bytes]()
        try:
            while len(heard) < _AT_ONCE:
                heard.append(self._wire.recv(_LONGEST))
        except BlockingIOError:
            pass
        self._wait()
        self._take(heard)
