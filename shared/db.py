"""The way to PostgreSQL: one pool a process, under the service's own role and search_path."""

import asyncio
import os
import select
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

import msgspec
import psycopg
from psycopg import AsyncConnection
from psycopg.adapt import AdaptersMap
from psycopg.types.datetime import TimestampBinaryLoader, TimestampLoader
from psycopg.types.json import set_json_dumps, set_json_loads
from psycopg.types.numeric import FloatLoader
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from shared import spans, wake
from shared.errors import Unavailable
from shared.keepalive import KEEPALIVE

# How long a request may wait for a connection before it answers 503, in seconds.
PATIENCE = 1.5
# A connection in use for so many seconds may be one to a server that has fallen silent: then it is asked on another whether
# it still answers, and has so many seconds to do it.
SUSPICION = 1.0
PROOF = 0.9
# SSLRequest, which a server answers with one byte before anything else: no password, no backend that starts in earnest.
_ANYBODY = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"

Connection = AsyncConnection[Any]


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


class EcoConnection(AsyncConnection[Any]):
    """A connection that remembers whether the transaction on it accepted a task."""

    enqueued: bool = False


class _SeenCursor(psycopg.AsyncCursor[Any]):
    """Tells the emulator's dashboard of each statement: its text, never its values."""

    async def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
        text = query if isinstance(query, str) else query.decode() if isinstance(query, bytes) else str(query)
        with spans.span(" ".join(text.split())[:1000], "sql"):
            return await super().execute(query, params, **options)


def _gone(connection: Connection) -> bool:
    # An idle connection has nothing to say: if its socket is readable, the server said good-bye. One system call
    # (2 µs) where a `SELECT 1` would cost a round trip for every request.
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def _cut(connection: Connection) -> None:
    # Whoever waits for an answer on it sees the end of the stream, as if the server had gone: to cancel the waiting instead
    # would make psycopg ask the silent server to cancel the query, for five seconds more.
    with socket.socket(fileno=os.dup(connection.fileno())) as wire:
        wire.shutdown(socket.SHUT_RDWR)


async def _prove(host: str, port: int) -> bool:
    try:
        async with asyncio.timeout(PROOF):
            if host.startswith("/"):
                reader, writer = await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
            else:
                reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(_ANYBODY)
                return bool(await reader.read(1))
            finally:
                writer.close()
    except OSError:  # TimeoutError is one
        return False


class _Use:
    """A connection's use by a function. One that takes long goes on if the server answers others, and ends if not."""

    def __init__(self, connection: EcoConnection, answers: Callable[[EcoConnection], Awaitable[bool]]) -> None:
        self._connection = connection
        self._answers = answers
        self._timer = asyncio.get_running_loop().call_later(SUSPICION, self._suspect)
        self._looking: asyncio.Task[None] | None = None

    def _suspect(self) -> None:
        self._looking = asyncio.create_task(self._look())

    async def _look(self) -> None:
        if self._connection.closed:
            return
        if await self._answers(self._connection):
            self._timer = asyncio.get_running_loop().call_later(SUSPICION, self._suspect)
        elif not self._connection.closed:
            _cut(self._connection)

    def end(self) -> None:
        self._timer.cancel()
        if self._looking is not None:
            self._looking.cancel()


class Database:
    """A pool of connections to one schema under one role. Opening it makes no connection wait: the first use does."""

    def __init__(self, dsn: str, *, size: int = 4, name: str = "eco2") -> None:
        self.name = name
        self._proof: asyncio.Task[bool] | None = None
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

    async def close(self) -> None:
        await self.pool.close(timeout=2)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[EcoConnection]:
        """A connection in autocommit: for reads, and for writes of one statement.

        Raises:
            Unavailable: when PostgreSQL is away, or takes the connection away in the middle.
        """
        try:
            connection = await self._living()
            if spans.on():
                connection.cursor_factory = _SeenCursor
            use = _Use(connection, self._answers)
            try:
                yield connection
            finally:
                use.end()
                await self.pool.putconn(connection)
        except (PoolTimeout, PoolClosed, TooManyRequests, psycopg.OperationalError, psycopg.InterfaceError) as error:
            raise Unavailable("database") from error

    async def _living(self) -> EcoConnection:
        # Not the pool's own `check`: it puts a connection that fails back unless a query has failed on it, and then waits
        # a second. After a failover every connection of the pool is dead at once, and a request should just get a new one.
        deadline = time.monotonic() + PATIENCE
        while True:
            connection = await self.pool.getconn(timeout=deadline - time.monotonic())
            if not _gone(connection):
                return connection
            await connection.close()
            await self.pool.putconn(connection)

    async def _answers(self, connection: EcoConnection) -> bool:
        """Whether the server answers somebody new, asked once for all who want to know at this moment."""
        if self._proof is None or self._proof.done():
            self._proof = asyncio.create_task(_prove(connection.info.host, connection.info.port))
        return await asyncio.shield(self._proof)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[EcoConnection]:
        """A connection inside BEGIN … COMMIT; an exception rolls back. After the commit the relay hears of new tasks.

        Raises:
            Unavailable: as `connection`. After a lost answer to COMMIT nobody knows whether it took place, so what is
                written here must be safe to repeat (idempotency keys, fixed ids).
        """
        async with self.connection() as connection:
            connection.enqueued = False
            async with connection.transaction():
                yield connection
            if connection.enqueued:
                wake.wake()

    async def ready(self) -> bool:
        """Whether the database answers now."""
        try:
            async with self.connection() as connection:
                await connection.execute("SELECT 1")
        except Unavailable:
            return False
        return True


_bound: ContextVar[Database] = ContextVar("database")


def database() -> Database:
    """The database of the service whose function now runs: for queue, schedule and command functions.

    Raises:
        LookupError: outside of the runtime; `with bind(database):` sets it.
    """
    return _bound.get()


@contextmanager
def bind(to: Database) -> Iterator[None]:
    """Make `to` the answer of `database()` inside the block."""
    token = _bound.set(to)
    try:
        yield
    finally:
        _bound.reset(token)
