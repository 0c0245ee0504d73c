"""An answer's head leaves with what of its body follows at once: uvicorn writes them one after the other, and each would be a
system call, a packet, and a wake-up of whoever reads it."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class Corked:
    """A transport that holds a write until the next one, or until the loop's turn ends."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held = b""
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        held = self._held
        if held:
            self._held = b""
            self._transport.writelines((held, data) if data else (held,))
        elif data:
            self._held = data
            self._loop.call_soon(self.flush)

    def flush(self) -> None:
        held, self._held = self._held, b""
        if held and not self._transport.is_closing():
            self._transport.write(held)

    def close(self) -> None:
        self.flush()
        self._transport.close()


class CorkedProtocol(HttpToolsProtocol):
    """One connection, as uvicorn speaks it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # uvicorn's is narrower too
        super().connection_made(transport)
        self.out = Corked(transport, self.loop)

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self.cycle.transport = self.out  # type: ignore[assignment] # which has of a transport what a cycle uses
