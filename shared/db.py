"""The way to PostgreSQL: one pool a process, under the service's own role and search_path."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from shared import spans, wake
from shared.connection import ADAPTERS, COLLIDED, Cursor, EcoConnection, SeenCursor, changed
from shared.errors import Busy, TooSlow, Unavailable
from shared.keepalive import KEEPALIVE
from shared.silence import Gone, Watch
from shared.together import Unit
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
# A connection is a process of PostgreSQL's, and what it knows of the tables 3 MB: those of a busy minute go with it, one each
# time that so many seconds have passed, and the last one where no one asks.
IDLE = 10.0
# A statement that comes a second time comes again, as a rule: the server keeps it then.
PREPARED_AFTER: int | None = 1
Connection = AsyncConnection[Any]

# No connection to be had (the pool's errors are operational ones), or one that broke. A server that became a replica refuses to
# write; one that ends a session for having been idle inside of a transaction calls it an internal error.
_AWAY = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.errors.ReadOnlySqlTransaction,
    psycopg.errors.IdleInTransactionSessionTimeout,
    psycopg.errors.TransactionTimeout,
)


def problem_of(error: BaseException) -> Unavailable | None:
    """What a failure of the database is to the client; None when it is none of the database's (a wrong statement)."""
    if isinstance(error, COLLIDED):
        busy = Busy()
        busy.undone = not changed.get()
        return busy
    if isinstance(error, psycopg.errors.LockNotAvailable):
        return Busy()
    if isinstance(error, psycopg.errors.QueryCanceled):
        return TooSlow()
    return Unavailable("database") if isinstance(error, _AWAY) else None


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
        connection.cursor_factory = SeenCursor if spans.on() else Cursor
        self._database.watch.begin(connection)
        return connection

    async def __aexit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        problem = None if error is None else problem_of(error)
        self._database.watch.end(self._connection, heard=type(problem) is not Unavailable)
        await self._database.pool.putconn(self._connection)
        if problem is not None:
            raise problem from error


class _Pool(AsyncConnectionPool[EcoConnection]):
    """Gives the connection that was brought back last. In turn, each would have to learn every statement, for a hundred
    requests where a few do not overlap, and none would be idle long enough to be closed."""

    async def _get_ready_connection(self, timeout: float | None) -> EcoConnection | None:  # noqa: ASYNC109 - the parameter is psycopg-pool's
        self._pool.rotate(1)
        return await super()._get_ready_connection(timeout)


class Database:
    """A pool of connections to one schema under one role. Opening it makes no connection wait: the first use does."""

    def __init__(self, dsn: str, *, size: int = 4, name: str = "eco2") -> None:
        self.name = name
        self.dsn = dsn
        self.watch = Watch()
        self._units = Units(self.transaction)
        self.pool = _Pool(
            dsn,
            connection_class=EcoConnection,
            kwargs={
                "autocommit": True,
                "context": ADAPTERS,
                "application_name": name,
                "connect_timeout": 3,
                "prepare_threshold": PREPARED_AFTER,
                **KEEPALIVE,
            },
            min_size=0,
            max_size=size,
            timeout=PATIENCE,
            max_waiting=size * 50,
            max_idle=IDLE,
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
            changed.set(True)
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
        changed.set(True)

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
