"""A connection to PostgreSQL: how values travel, what is tried again, what the dashboard sees, which tasks it accepted."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import Any

import msgspec
import psycopg
import psycopg._queries
from psycopg import AsyncConnection
from psycopg.adapt import AdaptersMap
from psycopg.pq import TransactionStatus
from psycopg.types.datetime import TimestampLoader
from psycopg.types.json import set_json_dumps, set_json_loads
from psycopg.types.numeric import FloatLoader

from shared import clock, spans, wake
from shared.silence import Gone
from shared.together import TogetherConnection, TogetherCursor

# The texts of statements that psycopg remembers the placeholders of, in characters: with its own 4,096 the search of the items
# was taken apart anew each time, a third of what it costs its service.
psycopg._queries.MAX_CACHED_STATEMENT_LENGTH = 16_384

# A statement that others' locks made fail, outside of a transaction, is tried so often in all.
TRIES = 3

# Two transactions waited for each other, or saw each other's changes: PostgreSQL ended one of them, and it left no trace.
COLLIDED = (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure)

# Whether the request that this context answers has changed anything that stays.
changed: ContextVar[bool] = ContextVar("changed", default=False)


class _UtcLoader(TimestampLoader):
    def load(self, data: Any) -> datetime:
        return super().load(data).replace(tzinfo=UTC)


def adapters() -> AdaptersMap:
    """How values travel: numerics as numbers, the seed's `TIMESTAMP` as aware UTC, JSON through msgspec."""
    own = AdaptersMap(psycopg.adapters)
    own.register_loader("numeric", FloatLoader)
    own.register_loader("timestamp", _UtcLoader)
    return own


ADAPTERS = adapters()
set_json_loads(msgspec.json.decode, ADAPTERS)
set_json_dumps(msgspec.json.encode, ADAPTERS)


class Cursor(TogetherCursor):
    """Tries a statement again that collided with others', unless it is part of a transaction: that has failed as a whole."""

    async def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
        tries = 0
        while True:
            try:
                await super().execute(query, params, **options)
            except COLLIDED:
                tries += 1
                if tries == TRIES or not self._alone():
                    raise
                spans.event("statement", "retry", attempt=tries + 1)
            else:
                if self._alone() and not (self.statusmessage or "").startswith("SELECT"):
                    changed.set(True)
                return self
            await asyncio.sleep(random.uniform(0.005, 0.05))  # noqa: S311 - so that the two do not meet again, no secret

    def _alone(self) -> bool:
        """Whether the statement is a transaction of its own."""
        begun = isinstance(self.connection, TogetherConnection) and self.connection.begun
        return not begun and self.connection.pgconn.transaction_status == TransactionStatus.IDLE


class SeenCursor(Cursor):
    """Tells the emulator's dashboard of each statement: its text, never its values."""

    async def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
        text = query if isinstance(query, str) else query.decode() if isinstance(query, bytes) else str(query)
        name, whole = _named(text)
        with _seen(self.connection, name, statement=whole):
            return await super().execute(query, params, **options)


@lru_cache(maxsize=128)
def _named(text: str) -> tuple[str, str | None]:
    """What a statement is called, and its text where that is more: one line is its name; where that is not the whole of it, or
    would be no statement, the text itself goes along."""
    return " ".join(text.split())[:1000], text if len(text) > 1000 or "--" in text else None


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
