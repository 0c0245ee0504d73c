"""The way to PostgreSQL: one pool a process, under the service's own role and search_path."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import partial
from typing import Any

import msgspec
import psycopg
from psycopg import AsyncConnection
from psycopg.adapt import AdaptersMap
from psycopg.pq import TransactionStatus
from psycopg.types.datetime import TimestampBinaryLoader, TimestampLoader
from psycopg.types.json import set_json_dumps, set_json_loads
from psycopg.types.numeric import FloatLoader
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from shared import clock, spans, wake
from shared.errors import Busy, TooSlow, Unavailable
from shared.keepalive import KEEPALIVE
from shared.silence import Gone, Watch
from shared.together import TogetherConnection, TogetherCursor, Unit
from shared.units import Units

# How long a request may wait for a connection before it answers 503, in seconds.
PATIENCE = 1.5
# How long where others get theirs meanwhile: the server is not away then but busy.
BUSY = 4 * PATIENCE
# Seconds in which an answer to somebody else says that it is there.
LATELY = 0.5
# What fails for so many seconds, and never succeeds meanwhile, is away.
SILENT = 0.5
# How long what others may hold for ever is waited for (`tried`).
MOMENT = 0.25
# A statement that others' locks made fail, outside of a transaction, is tried so often in all.
TRIES = 3

Connection = AsyncConnection[Any]

# Two transactions waited for each other, or saw each other's changes: PostgreSQL ended one of them, and it left no trace.
_COLLIDED = (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure)
# No connection to be had, or one that broke. A server that became a replica refuses to write; one that ends a session for
# having been idle inside of a transaction calls it an internal error.
_AWAY = (
    PoolTimeout,
    PoolClosed,
    TooManyRequests,
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.errors.ReadOnlySqlTransaction,
    psycopg.errors.IdleInTransactionSessionTimeout,
    psycopg.errors.TransactionTimeout,
)


# Whether the request that this context answers has changed anything that stays.
_changed: ContextVar[bool] = ContextVar("changed", default=False)


def problem_of(error: BaseException) -> Unavailable | None:
    """What a failure of the database is to the client; None when it is none of the database's (a wrong statement)."""
    if isinstance(error, _COLLIDED):
        busy = Busy()
        busy.undone = not _changed.get()
        return busy
    if isinstance(error, psycopg.errors.LockNotAvailable):
        return Busy()
    if isinstance(error, psycopg.errors.QueryCanceled):
        return TooSlow()
    return Unavailable("database") if isinstance(error, _AWAY) else None


class _UtcLoader(TimestampLoader):
    def load(self, data: Any) -> datetime:
        return super().load(data).replace(tzinfo=UTC)


class _UtcBinaryLoader(TimestampBinaryLoader):
    def load(self, data: Any) -> datetime:
        return super().load(data).replace(tzinfo=UTC)


def adapters() -> AdaptersMap:
    """How values travel: numerics as numbers, the seed's `TIMESTAMP` as aware UTC, JSON through msgspec."""
    own = AdaptersMap(psycopg.adapters)
    own.register_loader("numeric", FloatLoader)
    own.register_loader("timestamp", _UtcLoader)
    own.register_loader("timestamp", _UtcBinaryLoader)
    return own


_ADAPTERS = adapters()
set_json_loads(msgspec.json.decode, _ADAPTERS)
set_json_dumps(msgspec.json.encode, _ADAPTERS)


class _Cursor(TogetherCursor):
    """Tries a statement again that collided with others', unless it is part of a transaction: that has failed as a whole."""

    async def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
        tries = 0
        while True:
            try:
                await super().execute(query, params, **options)
            except _COLLIDED:
                tries += 1
                if tries == TRIES or not self._alone():
                    raise
                spans.event("statement", "retry", attempt=tries + 1)
            else:
                if self._alone() and not (self.statusmessage or "").startswith("SELECT"):
                    _changed.set(True)
                return self
            await asyncio.sleep(random.uniform(0.005, 0.05))  # noqa: S311 - so that the two do not meet again, no secret

    def _alone(self) -> bool:
        """Whether the statement is a transaction of its own."""
        begun = isinstance(self.connection, TogetherConnection) and self.connection.begun
        return not begun and self.connection.pgconn.transaction_status == TransactionStatus.IDLE


class _SeenCursor(_Cursor):
    """Tells the emulator's dashboard of each statement: its text, never its values."""

    async def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
        text = query if isinstance(query, str) else query.decode() if isinstance(query, bytes) else str(query)
        # One line is its name; where that is not the whole of it, or would be no statement, the text itself goes along.
        whole = text if len(text) > 1000 or "--" in text else None
        with _seen(self.connection, " ".join(text.split())[:1000], statement=whole):
            return await super().execute(query, params, **options)


@contextmanager
def _seen(connection: AsyncConnection[Any], name: str, **attributes: Any) -> Iterator[None]:
    """A statement as a span, which says when it is late."""
    backend = connection.pgconn.backend_pid
    with spans.span(name, "sql", **attributes, backend=backend):
        still = partial(spans.event, "statement", "late", at=clock.time(), backend=backend)
        late = asyncio.get_running_loop().call_later(spans.LATE, still)
        try:
            yield
        finally:
            late.cancel()


class EcoConnection(TogetherConnection):
    """A connection that remembers which tasks the transaction on it accepted.

    Attributes:
        enqueued: it accepted a task that a relay has to look for.
        accepted: tasks for the relay of this process, each with the cursor that says whether its row is new; None where there is
            no relay, or where they may be rolled back alone.
    """

    enqueued: bool = False
    accepted: list[tuple[psycopg.AsyncCursor[Any], wake.Accepted]] | None = None
    gone: Gone | None = None

    async def end(self) -> None:
        """As ever; where statements were put off, it is seen that they are sent only now."""
        if spans.on() and self.waits:
            with _seen(self, "COMMIT"):
                await super().end()
        else:
            await super().end()

    def transaction(self, *args: Any, **options: Any) -> Any:
        # A savepoint: what was accepted before is found when it is due, like what comes after.
        self.accepted = None
        return super().transaction(*args, **options)


async def tried(conn: Connection, query: Any, values: Sequence[Any]) -> bool:
    """Repeat a statement that answers whether it got what it wants until it did, for MOMENT seconds; whether it did."""
    end = time.monotonic() + MOMENT
    while True:
        row = await (await conn.execute(query, values)).fetchone()
        if row is not None and row[0]:
            return True
        if time.monotonic() >= end:
            return False
        await asyncio.sleep(0.01)


class _Use:
    """One function's use of a connection (`async with`)."""

    __slots__ = ("_connection", "_database")

    def __init__(self, database: Database) -> None:
        self._database = database

    async def __aenter__(self) -> EcoConnection:
        began = time.perf_counter()
        try:
            connection = self._connection = await self._database.take()
        except _AWAY as error:
            self._database.watch.failed_at = time.monotonic()
            raise Unavailable("database") from error
        finally:
            if spans.on():
                spans.waited("database", began)
        connection.cursor_factory = _SeenCursor if spans.on() else _Cursor
        self._database.watch.begin(connection)
        return connection

    async def __aexit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        problem = None if error is None else problem_of(error)
        self._database.watch.end(self._connection, heard=type(problem) is not Unavailable)
        await self._database.pool.putconn(self._connection)
        if problem is not None:
            raise problem from error


class Database:
    """A pool of connections to one schema under one role. Opening it makes no connection wait: the first use does."""

    def __init__(self, dsn: str, *, size: int = 4, name: str = "eco2") -> None:
        self.name = name
        self.dsn = dsn
        self.watch = Watch()
        self._units = Units(self)
        self.pool: AsyncConnectionPool[EcoConnection] = AsyncConnectionPool(
            dsn,
            connection_class=EcoConnection,
            kwargs={
                "autocommit": True,
                "context": _ADAPTERS,
                "application_name": name,
                "connect_timeout": 3,
                **KEEPALIVE,
            },
            min_size=1,
            max_size=size,
            timeout=PATIENCE,
            max_waiting=size * 50,
            # A connection is a process of PostgreSQL's: those of a busy minute go with it, one each time.
            max_idle=20.0,
            reconnect_timeout=1.0,
            name=name,
            open=False,
        )

    async def open(self) -> None:
        await self.pool.open()

    def away(self) -> bool:
        """Whether it has only failed for a while, though it was asked."""
        return self.watch.failed_at - self.watch.heard_at > SILENT

    async def close(self) -> None:
        self.watch.close()
        await self.pool.close(timeout=2)

    def connection(self) -> _Use:
        """A connection in autocommit (`async with`): for reads, and for writes of one statement.

        Raises:
            Unavailable: PostgreSQL is away, or takes the connection away in the middle.
            Busy: others held what a statement needs, for longer than it may wait, or again and again.
            TooSlow: a statement took longer than it may.
        """
        return _Use(self)

    async def take(self) -> EcoConnection:
        """A connection that the server has not closed, out of the pool; whoever takes it brings it back."""
        # Not the pool's own `check`: it puts a connection that fails back unless a query has failed on it, and then waits
        # a second. After a failover every connection of the pool is dead at once, and a request should just get a new one.
        begun = time.monotonic()
        deadline = begun + PATIENCE
        while True:
            try:
                connection = await self.pool.getconn(timeout=deadline - time.monotonic())
            except PoolTimeout:
                # One that answers others meanwhile is not away but busy.
                if self.watch.heard_at < begun or deadline - begun >= BUSY:
                    raise
                deadline += PATIENCE
                continue
            if connection.gone is None:
                connection.gone = Gone(connection)
            if not connection.gone():
                return connection
            await connection.close()
            await self.pool.putconn(connection)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[EcoConnection]:
        """A connection inside BEGIN … COMMIT; an exception rolls back. After the commit the relay hears of new tasks.

        Raises:
            Unavailable: as `connection`. After a lost answer to COMMIT no one knows whether it took place, so what is
                written here must be safe to repeat (idempotency keys, fixed ids).
            Busy, TooSlow: as `connection`; nothing was changed.
        """
        async with self.connection() as connection:
            relay = wake.relay_of(self.dsn)
            connection.enqueued, connection.accepted = False, None if relay is None else []
            connection.begin()
            try:
                yield connection
                await connection.end()
                accepted = connection.accepted
            except BaseException:  # raised again
                await connection.abandon()
                raise
            finally:
                connection.accepted = None
            _changed.set(True)
            if relay is not None and accepted and (new := [task for cursor, task in accepted if cursor.rowcount]):
                relay.hand(new)
            if connection.enqueued:
                wake.wake()

    def unit(self) -> Unit:
        """Writes to collect for `commit`."""
        return Unit(None if wake.relay_of(self.dsn) is None else [])

    async def commit(self, unit: Unit) -> None:
        """Do what a unit collected, in one transaction, together with the units of others.

        Raises:
            Unavailable, Busy, TooSlow: as `transaction`.
            Exception: what one of its writes names; nothing was changed.
        """
        await self._units.commit(unit)
        _changed.set(True)

    async def ready(self) -> bool:
        """Whether the database answers now: somebody a moment ago, or this question."""
        if self.watch.heard_at > max(time.monotonic() - LATELY, self.watch.failed_at):
            return True  # health does not stand in line behind a busy minute's requests
        try:
            async with self.connection() as connection:
                await connection.execute("SELECT 1")
        except Unavailable:
            return False
        return True
