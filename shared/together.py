"""Statements of a transaction that go to PostgreSQL together: each trip that is spared saves both sides a system call, a wake-up
and a turn of the event loop, which costs more than a short statement itself.

BEGIN goes along with the first statement, and what `later` puts off goes along with the next one or with COMMIT. That is libpq's
pipeline, entered for one exchange at a time, so that between two of them the connection is as psycopg knows it. After an error
the server does nothing more of the same exchange, COMMIT least of all.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, overload
from uuid import UUID

import msgspec
import psycopg
from psycopg import AsyncConnection, AsyncCursor, AsyncPipeline
from psycopg.generators import fetch_many
from psycopg.pq import ConnStatus, TransactionStatus
from psycopg.types.json import Json
from psycopg.waiting import Ready, Wait

from shared import spans, trace
from shared.waiting import WaitingConnection

if TYPE_CHECKING:
    from shared.wake import Accepted


# Rows as JSON has them, on a connection of any adapters.
_json = partial(Json, dumps=msgspec.json.encode)


class _Queue(AsyncPipeline):
    """What waits to be sent. While it is its connection's pipeline, psycopg's cursors put their statements here."""

    def _communicate_gen(self) -> Generator[Any, Any, None]:
        return
        yield

    def put(self, command: bytes) -> None:
        self.command_queue.append(partial(self.pgconn.send_query_params, command, None))
        self.result_queue.append(None)

    def clear(self) -> None:
        self.command_queue.clear()
        self.result_queue.clear()


class TogetherCursor(AsyncCursor[Any]):
    """A cursor whose statement takes along what was put off on its connection."""

    async def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
        connection = self._conn
        if not isinstance(connection, TogetherConnection) or not connection.waits:
            return await super().execute(query, params, **options)
        with connection.queueing():
            await super().execute(query, params, **options)
        await connection.send_queue()
        return self

    async def executemany(self, *args: Any, **options: Any) -> None:
        # In a pipeline of psycopg's own, which must not overtake what was put off.
        if isinstance(self._conn, TogetherConnection) and self._conn.waits:
            await self._conn.send_queue()
        await super().executemany(*args, **options)


class TogetherConnection(WaitingConnection):
    """A connection on which the statements of a transaction may be put off until another one is sent."""

    _queue: _Queue | None = None

    def begin(self) -> None:
        """Begin a transaction with the first statement that is sent."""
        self._queue = _Queue(self)
        self._queue.put(b"BEGIN")

    async def end(self) -> None:
        """Send what waits, and COMMIT with it; nothing where there was no statement.

        Raises:
            psycopg.Error: of the first statement that failed. Then nothing is committed.
        """
        assert self._queue is not None, "begin() comes first"
        if self.pgconn.transaction_status != TransactionStatus.IDLE or len(self._queue.result_queue) > 1:
            self._queue.put(b"COMMIT")
            await self.send_queue()
        self._queue = None

    async def abandon(self) -> None:
        """Roll back; what was not sent never is. A connection that can't is left to its pool, which closes it."""
        self._queue = None
        with contextlib.suppress(psycopg.Error):
            await self.rollback()

    @property
    def begun(self) -> bool:
        """Whether it is in a transaction of `begin`."""
        return self._queue is not None

    @property
    def waits(self) -> bool:
        """Whether something was put off that the next statement must take along."""
        return self._queue is not None and self._pipeline is None and bool(self._queue.command_queue)

    @contextlib.contextmanager
    def queueing(self) -> Iterator[None]:
        """What cursors execute in this block is put off."""
        self._pipeline = self._queue
        try:
            yield
        finally:
            self._pipeline = None

    async def send_queue(self) -> None:
        """Send what was put off, and wait until all of it is answered.

        Raises:
            psycopg.Error: of the first statement that failed.
        """
        async with self.lock:
            await self.wait(self._exchange())

    @contextlib.asynccontextmanager
    async def pipeline(self) -> Any:
        """psycopg's own."""
        if self.waits:
            await self.send_queue()
        async with super().pipeline() as pipeline:
            yield pipeline

    @contextlib.asynccontextmanager
    async def transaction(self, *args: Any, **options: Any) -> Any:
        """psycopg's own; a savepoint where a transaction is open."""
        if self.waits:
            await self.send_queue()
        async with super().transaction(*args, **options) as transaction:
            yield transaction

    def _start_query(self) -> Generator[Any, Any, None]:
        # Whatever psycopg sends in another way (a COPY, a stream) comes after what was put off.
        return self._exchange() if self.waits else super()._start_query()

    def _exchange(self) -> Generator[Any, Any, None]:
        queue, pgconn, error = self._queue, self.pgconn, None
        assert queue is not None
        pgconn.enter_pipeline_mode()
        try:
            while queue.command_queue:
                queue.command_queue.popleft()()
            pgconn.pipeline_sync()
            while pgconn.flush():
                # More than the socket takes: what the server says meanwhile must be read, or both wait for each other.
                if (yield Wait.RW) & Ready.R:
                    pgconn.consume_input()
            while queue.result_queue:
                results = yield from fetch_many(pgconn)
                if not results:
                    break  # the connection broke
                try:
                    queue._process_results(queue.result_queue.popleft(), results)
                except psycopg.Error as failed:
                    error = error or failed
            yield from fetch_many(pgconn)  # the answer to the sync
        finally:
            queue.clear()
            if pgconn.status == ConnStatus.OK:
                # Where answers are left, no one waited for them: whoever brings the connection back sees that it is busy.
                with contextlib.suppress(psycopg.OperationalError):
                    pgconn.exit_pipeline_mode()
        if error is None and pgconn.status != ConnStatus.OK:
            error = psycopg.OperationalError("the server closed the connection")
        if error is not None:
            raise error


class Write:
    """A statement of a unit, and its answer from its execution on."""

    __slots__ = ("cursor", "otherwise", "query", "values")

    def __init__(self, query: Any, values: Any, otherwise: type[Exception] | None = None) -> None:
        self.query = query
        self.values = values
        self.otherwise = otherwise
        self.cursor: AsyncCursor[Any] | None = None

    @property
    def rowcount(self) -> int:
        """How many rows it changed; 0 before it is executed."""
        return self.cursor.rowcount if self.cursor else 0


class Row:
    """A row of a unit for a statement that takes those of many, and its answer from its execution on."""

    __slots__ = ("id", "query", "statement", "traceparent", "values")

    def __init__(self, query: str, values: Any, id_: UUID, traceparent: str) -> None:
        self.query = query
        self.values = values
        self.id = id_
        self.traceparent = traceparent
        self.statement: Rows | None = None

    @property
    def rowcount(self) -> int:
        """1 where it was written; 0 before that, where the statement left it out, and of the same id again."""
        return int(self.statement is not None and self.statement.wrote(self))


class Rows:
    """One statement that writes rows: it takes them as a JSON list, and returns the ids of those that it wrote."""

    def __init__(self, query: str, rows: list[Row]) -> None:
        self.query = query
        self.rows = rows
        self.cursor: AsyncCursor[Any] | None = None
        for row in rows:
            row.statement = self

    async def put(self, conn: AsyncConnection[Any]) -> None:
        """Have it sent with the next statement that is waited for, or with COMMIT: in the trace of each row's request."""
        trace.set_current(self.rows[0].traceparent)
        if spans.on():
            name = " ".join(self.query.split())
            for row in self.rows[1:]:
                spans.event(name, "sql", row.traceparent)
        self.cursor = await later(conn, self.query, [_json([row.values for row in self.rows])])

    def wrote(self, row: Row) -> bool:
        """Whether it was written."""
        if self.cursor is None or self.cursor.pgresult is None:
            return False
        if self.cursor.rowcount == len(self.rows):
            return True
        first = next(one for one in self.rows if one.id == row.id)
        written = (self.cursor.pgresult.get_value(number, 0) for number in range(self.cursor.rowcount))
        return row is first and str(row.id).encode() in written


class Unit:
    """Writes that are sent when all of them are known (`shared.units`); made by `Database.unit`, done by `Database.commit`.

    Attributes:
        enqueued, accepted: as a connection's (`shared.connection.EcoConnection`).
        traceparent: of the request that made it.
    """

    def __init__(self, accepted: list[tuple[Any, Accepted]] | None) -> None:
        self.enqueued = False
        self.accepted = accepted
        self.traceparent = trace.current()
        self.writes: list[Write] = []
        self.rows: list[Row] = []

    def expect(self, query: Any, values: Any, otherwise: type[Exception]) -> None:
        """Add a statement; where it does not change just one row, nothing of the unit is done, and `otherwise` is raised."""
        self.writes.append(Write(query, values, otherwise))

    @property
    def expects(self) -> bool:
        """Whether its statements must be answered before it may be committed."""
        return any(write.otherwise for write in self.writes)

    def check(self) -> None:
        """Raise what the first statement says whose answer is not as expected."""
        for write in self.writes:
            if write.otherwise is not None and write.rowcount != 1:
                raise write.otherwise


@overload
async def later(conn: AsyncConnection[Any], query: Any, values: Any = None) -> AsyncCursor[Any]: ...


@overload
async def later(conn: AsyncConnection[Any] | Unit, query: Any, values: Any = None) -> AsyncCursor[Any] | Write: ...


async def later(conn: AsyncConnection[Any] | Unit, query: Any, values: Any = None) -> AsyncCursor[Any] | Write:
    """Have a statement sent with the next one that is waited for, or with COMMIT; what is returned has its answer from then on.

    For what the function need not know now. Its errors come when it is sent; outside of `Database.transaction` that is at once.
    """
    if isinstance(conn, Unit):
        conn.writes.append(write := Write(query, values))
        return write
    cursor = conn.cursor()
    if isinstance(conn, TogetherConnection) and conn.begun:
        with conn.queueing():
            await cursor.execute(query, values)
    else:
        await cursor.execute(query, values)
    return cursor


async def insert(conn: AsyncConnection[Any] | Unit, query: str, id_: UUID, row: Any) -> AsyncCursor[Any] | Row:
    """`later` for one row of a statement that is one for all units of a group, and comes after everything else that they do.

    Args:
        query: takes rows as a JSON list, and returns the ids of those that it wrote.
        row: its values by their names, as JSON is made of them; `id_` is its id.
    """
    if isinstance(conn, Unit):
        conn.rows.append(made := Row(query, row, id_, conn.traceparent))
        return made
    cursor: AsyncCursor[Any] = await later(conn, query, [_json([row])])
    return cursor
