"""Spans as they come by UDP, taken in a few hundredths of a second at a time: to wake for each costs more than to take it in."""

import asyncio
import socket
from collections.abc import Callable

from emulator.recording import spanlog

# Seconds that they may lie in the kernel's buffer, which holds a hundred of them where it may not be widened.
_TOGETHER = 0.01
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
        spanlog.widen(self._wire)
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
        self._timer = self._loop.call_later(_TOGETHER, self._hear)

    def _hear(self) -> None:
        heard = list[bytes]()
        try:
            while len(heard) < _AT_ONCE:
                heard.append(self._wire.recv(_LONGEST))
        except BlockingIOError:
            pass
        self._wait()
        self._take(heard)
