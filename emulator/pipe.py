"""Orders to a part's standard input, one JSON line each, that never hold up who gives them."""

import asyncio
import contextlib
import json
import os
from typing import Any


class OrderPipe:
    """The writing end of a part's standard input. An order says all that should hold, so only the newest has to arrive: while a
    part reads nothing (it stands still, or has just died) the ones before it are left out."""

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        self._sending = b""
        self._next = b""
        self._closed = False

    def say(self, order: Any) -> None:
        """Send an order as soon as the part reads; nothing happens when it has gone, because it is told again when it is back."""
        self._next = json.dumps(order).encode() + b"\n"
        self._send()

    def _send(self) -> None:
        if self._closed:
            return
        if not self._sending:
            self._sending, self._next = self._next, b""
        try:
            self._sending = self._sending[os.write(self._descriptor, self._sending) :]
        except BlockingIOError:
            pass
        except OSError:
            self.close()
            return
        loop = asyncio.get_running_loop()
        if self._sending or self._next:
            loop.add_writer(self._descriptor, self._send)
        else:
            loop.remove_writer(self._descriptor)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            with contextlib.suppress(RuntimeError):  # no loop runs any more
                asyncio.get_running_loop().remove_writer(self._descriptor)
            os.close(self._descriptor)
