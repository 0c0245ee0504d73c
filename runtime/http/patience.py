"""How long a host waits for a client: one timer for all connections that owe it something, set to the first that is due.

A timer for each request would cost as much as parsing it; and uvicorn has one for idle connections alone.
"""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

# Seconds from a connection's beginning, or a head's first byte, to the head's end.
HEAD_WITHIN = 10.0
# Seconds for a body, which has at most a megabyte.
BODY_WITHIN = 30.0
# Seconds without a request on a connection that had one: more than a load balancer keeps it (75 in the cluster), or it would
# send a request into a connection that is just being closed.
IDLE = 80.0
# A look that comes later than this, in seconds, says that the process itself was held up.
_LATE = 0.25
# Seconds that it then has at least, to read what has come.
_GRACE = 1.0
# Seconds in which a client takes nothing of what is sent to it.
STALLED = 30.0


class Connection(Protocol):
    """What the patience is with."""

    def give_up(self) -> None:
        """End it."""


class Patience:
    """Of one server, with all its connections."""

    def __init__(self) -> None:
        self._until: dict[Connection, float] = {}
        self._stalled: dict[Connection, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0

    def head(self, connection: Connection) -> None:
        """A head is to come. Pieces of it do not prolong the time, and an idle connection's ends."""
        until = time.monotonic() + HEAD_WITHIN
        if self._until.get(connection, until) >= until:
            self._wait(self._until, connection, until)

    def body(self, connection: Connection) -> None:
        """More of a body is to come. Pieces of it do not prolong the time."""
        if connection not in self._until:
            self._wait(self._until, connection, time.monotonic() + BODY_WITHIN)

    def idle(self, connection: Connection) -> None:
        """Nothing is to come."""
        self._wait(self._until, connection, time.monotonic() + IDLE)

    def met(self, connection: Connection) -> None:
        """What was to come has come."""
        self._until.pop(connection, None)

    def stalled(self, connection: Connection) -> None:
        """The client does not take what is sent."""
        self._wait(self._stalled, connection, time.monotonic() + STALLED)

    def moving(self, connection: Connection) -> None:
        """It does again."""
        self._stalled.pop(connection, None)

    def forget(self, connection: Connection) -> None:
        """The connection has ended."""
        self._until.pop(connection, None)
        self._stalled.pop(connection, None)

    def _wait(self, waiting: dict[Connection, float], connection: Connection, until: float) -> None:
        waiting[connection] = until
        if self._timer is None or until < self._due:
            self._arm(until)

    def _arm(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._due = due
        self._timer = asyncio.get_running_loop().call_later(due - time.monotonic(), self._look)

    def _look(self) -> None:
        self._timer = None
        now = time.monotonic()
        if (late := now - self._due) > _LATE:
            # It was this process that had no time, and what it waits for may have come long ago: time in which it stood still
            # counts against no one.
            for waiting in (self._until, self._stalled):
                for connection, until in waiting.items():
                    waiting[connection] = max(until + late, now + _GRACE)
        for waiting in (self._until, self._stalled):
            for connection in [one for one, until in waiting.items() if until <= now]:
                del waiting[connection]
                connection.give_up()
        if left := [*self._until.values(), *self._stalled.values()]:
            # Those of about the same moment together.
            self._arm(max(min(left), now + 1.0))
