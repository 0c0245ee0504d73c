"""How a connection to PostgreSQL waits for its answers: with one reader on its socket, which stays.

psycopg adds a reader to the event loop and a timer, and removes both again, for each answer: some 30 % of what a short statement
costs here. What else it waits for (to connect, to send more than the socket takes, a pipeline, a timeout) is left to psycopg.
"""

import asyncio
from collections.abc import Generator
from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg.pq import TransactionStatus
from psycopg.waiting import Ready, Wait

# Seconds for a server to end what it was told to cancel.
CANCEL = 5.0


class WaitingConnection(AsyncConnection[Any]):
    """A connection whose socket stays in its event loop from its first answer to its end."""

    _loop: asyncio.AbstractEventLoop | None = None
    _socket = -1
    _answer: asyncio.Future[None] | None = None

    async def wait(
        self,
        gen: Generator[Any, Any, Any],
        interval: float = 0.1,
        timeout: float | None = None,  # noqa: ASYNC109 - the parameter is psycopg's
    ) -> Any:
        """Run one of psycopg's generators to its end."""
        if timeout is not None:
            self._leave_loop()
            return await super().wait(gen, interval, timeout)
        try:
            wanted = next(gen)
            while wanted == Wait.R:
                await self._readable()
                wanted = gen.send(Ready.R)
        except StopIteration as end:
            if self.closed:
                self._leave_loop()
            return end.value
        except Exception:  # raised again: libpq has closed the socket, as a rule
            self._leave_loop()
            raise
        except (asyncio.CancelledError, KeyboardInterrupt):
            await self._cancel_statement(gen)
            raise
        self._leave_loop()
        return await super().wait(_resumed(gen, wanted), interval)

    async def close(self) -> None:
        """Close the connection; its socket's number may be another's from then on."""
        self._leave_loop()
        await super().close()

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._leave_loop()
            self._socket = self.pgconn.socket
            loop.add_reader(self._socket, self._heard)
            self._loop = loop
        self._answer = loop.create_future()
        try:
            await self._answer
        finally:
            self._answer = None

    def _heard(self) -> None:
        if self._answer is None:
            # No one waits: the server said good-bye, which whoever uses the connection next finds, and need not be said again.
            self._leave_loop()
        elif not self._answer.done():
            self._answer.set_result(None)

    def _leave_loop(self) -> None:
        # Also of a socket that is closed by now: its number may be another's next.
        if self._loop is not None and not self._loop.is_closed():
            self._loop.remove_reader(self._socket)
        self._loop = None

    async def _cancel_statement(self, gen: Generator[Any, Any, Any]) -> None:
        """Have the server end what no one waits for any more: a connection is good for another use only after its answer."""
        if self.pgconn.transaction_status != TransactionStatus.ACTIVE:
            return
        try:
            await self.cancel_safe(timeout=CANCEL)
            self._leave_loop()
            await super().wait(gen, timeout=CANCEL)
        except psycopg.errors.QueryCanceled:
            pass
        except BaseException as error:
            await self.close()  # no one knows in which state it is
            if not isinstance(error, Exception):
                raise


def _resumed(gen: Generator[Any, Any, Any], wanted: Any) -> Generator[Any, Any, Any]:
    """The generator from where it is: at the point where it wants this."""
    while True:
        try:
            wanted = gen.send((yield wanted))
        except StopIteration as end:
            return end.value
