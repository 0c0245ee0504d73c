"""Units: the writes of one request whose answer is known before them, committed together with those of others.

A commit costs a trip to PostgreSQL and a wait for its disk, whether for one request or for thirty; so while one is under way, the
units that come meanwhile are gathered, and are one transaction afterwards (as the journal's writer and the relay do). A unit
is all or nothing, and never mixed with another's failure: where the server refuses one of a group, or what a unit expects is not
so, nothing of the group is done, and each is done alone.

Only writes of rows that no one else holds belong into a unit: who waits for a lock makes the others of the group wait. A group
therefore waits a moment, and then its members do, each alone.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

from psycopg import AsyncConnection

from shared import clock, spans, trace
from shared.errors import Busy, Unavailable
from shared.together import Row, Rows, Unit, later

if TYPE_CHECKING:
    from shared.connection import EcoConnection

# Units in one transaction at most: what one lock can hold up, and one failure repeats.
GROUP = 32
_MOMENT = "SET LOCAL lock_timeout = '100ms'"

_Waiting = tuple[Unit, asyncio.Future[None]]


class Units:
    """Commits the units of one database, a group at a time. Used from one event loop only.

    `transaction` gives a connection inside BEGIN … COMMIT (`Database.transaction`).
    """

    def __init__(self, transaction: Callable[[], AbstractAsyncContextManager[EcoConnection]]) -> None:
        self._transaction = transaction
        self._waiting: deque[_Waiting] = deque()
        self._committing: asyncio.Task[None] | None = None
        self._alone: set[asyncio.Task[None]] = set()

    async def commit(self, unit: Unit) -> None:
        """Commit it; a unit that no one waits for any more is left out as long as it was not sent."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((unit, done))
        if self._committing is None:
            self._committing = asyncio.create_task(self._commit())
        await done

    async def _commit(self) -> None:
        try:
            while self._waiting:
                group = [self._waiting.popleft() for _ in range(min(GROUP, len(self._waiting)))]
                await self._commit_group([(unit, done) for unit, done in group if not done.done()])
        finally:
            self._committing = None
            while self._waiting:  # the loop is being closed
                self._waiting.popleft()[1].cancel()

    async def _commit_group(self, group: list[_Waiting]) -> None:
        """Commit them in one transaction; where that does not work, each of its own, for which no one else waits."""
        if not group:
            return
        try:
            await self._together(*(unit for unit, _ in group), first=_MOMENT)
        except Exception as error:  # noqa: BLE001 - told to whom it is
            # What is away is so for all of them; and after a lost answer to COMMIT nothing may be done a second time.
            away = type(error) is Unavailable
            if not away and (len(group) > 1 or isinstance(error, Busy)):
                for one in group:
                    task = asyncio.create_task(self._commit_alone(*one))
                    self._alone.add(task)
                    task.add_done_callback(self._alone.discard)
                return
            for _, done in group:
                _tell(done, error)
        except BaseException:  # raised again
            for _, done in group:
                done.cancel()
            raise
        for _, done in group:
            _tell(done)

    async def _commit_alone(self, unit: Unit, done: asyncio.Future[None]) -> None:
        try:
            if not done.done():
                await self._together(unit)
        except Exception as error:  # noqa: BLE001 - told to whom it is
            _tell(done, error)
        except BaseException:  # raised again
            done.cancel()
            raise
        else:
            _tell(done)

    async def _together(self, *units: Unit, first: str = "") -> None:
        begun, at = time.perf_counter(), clock.time()
        # Each write is in the trace of its own request, what is common to them in the first one's.
        outer = trace.set_current(units[0].traceparent)
        try:
            async with self._transaction() as conn:
                if first:
                    await later(conn, first)
                for unit in units:
                    trace.set_current(unit.traceparent)
                    for write in unit.writes:
                        write.cursor = await later(conn, write.query, write.values)
                await _put_rows(conn, units)
                trace.set_current(units[0].traceparent)
                if any(unit.expects for unit in units):
                    await conn.send_queue()
                    for unit in units:
                        unit.check()
                for unit in units:
                    conn.enqueued = conn.enqueued or unit.enqueued
                    if conn.accepted is not None and unit.accepted is not None:
                        conn.accepted += unit.accepted
        finally:
            trace.reset_current(outer)
        for unit in units[1:]:
            own, seconds = unit.traceparent, time.perf_counter() - begun
            spans.send("COMMIT", "sql", traceparent=spans.below(own), parent=own, started=at, seconds=seconds)


async def _put_rows(conn: AsyncConnection[Any], units: Sequence[Unit]) -> None:
    """The rows of all units, those for one statement in one."""
    rows: dict[str, list[Row]] = {}
    for unit in units:
        for row in unit.rows:
            rows.setdefault(row.query, []).append(row)
    for query, of_one in rows.items():
        await Rows(query, of_one).put(conn)


def _tell(done: asyncio.Future[None], error: Exception | None = None) -> None:
    """Tell how it ended, unless no one waits any more."""
    if done.done():
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)
