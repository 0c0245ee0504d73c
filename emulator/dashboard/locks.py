"""Who holds the lock that a statement waits for.

A statement that takes long says so (`shared/connection.py`), and from then on PostgreSQL is asked whom it waits for, until it
goes on. While no statement takes long, no one asks.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from random import getrandbits
from typing import Any

import psycopg
from msgspec import Struct
from psycopg.rows import TupleRow

from emulator.process import StartError
from shared.spans import LATE

Span = dict[str, Any]
Dsn = Callable[[str], Awaitable[str]]
# Seconds between two looks, and after which a statement is looked at no more: no service waits for a lock for longer (5 s).
_EVERY, _LONGEST = 0.1, 30.0
# Connections whose last trace is remembered: more than there can be of all services together.
_KEPT = 1000
# Another role's statement is not shown to a service's.
_HIDDEN = "<insufficient privilege>"
_HOLDERS = """
SELECT waiting.pid, holder.pid, coalesce(other.application_name, ''), coalesce(other.state, ''), left(other.query, 500)
FROM unnest(%s::integer[]) AS waiting (pid)
CROSS JOIN unnest(pg_blocking_pids(waiting.pid)) AS holder (pid)
LEFT JOIN pg_stat_activity AS other ON other.pid = holder.pid
"""


class _Statement(Struct):
    """One that has not ended yet. `id` is its span's; `began` and `until`, when it was last seen waiting, are monotonic."""

    trace: str
    id: str
    service: str
    backend: int
    start: float
    began: float
    until: float = 0.0
    held_by: str = ""
    holder: str = ""  # the trace that the holder's last statement was part of


class Locks:
    """Watches statements that take long, and tells of each wait as a span of kind `wait` named `lock`.

    Args:
        dsn: the database's address under a service's own role, which sees that role's other statements.
        tell: takes the span.

    Attributes:
        looking: the asking, which ends when no statement waits any more.
    """

    def __init__(self, dsn: Dsn, tell: Callable[[Span], None]) -> None:
        self._dsn, self._tell = dsn, tell
        self._statements: dict[str, _Statement] = {}
        self._traces: OrderedDict[int, str] = OrderedDict()
        self.looking: asyncio.Task[None] | None = None

    def late(self, span: Span) -> None:
        """A statement that began `LATE` seconds ago has not ended."""
        backend = int(span["attributes"]["backend"])
        self._used(backend, str(span["trace"]))
        one = _Statement(
            str(span["trace"]), str(span["parent"]), str(span["service"]), backend, float(span["start"]), 0
        )
        one.began = time.monotonic() - LATE
        self._statements[one.id] = one
        if self.looking is None or self.looking.done():
            self.looking = asyncio.create_task(self._look())

    def ended(self, span: Span) -> None:
        """A statement has ended."""
        if backend := span["attributes"].get("backend"):
            self._used(int(backend), str(span["trace"]))
        one = self._statements.pop(str(span["id"]), None)
        if one is not None and one.held_by:
            self._waited(one, span["ms"] / 1000)

    def _used(self, backend: int, trace: str) -> None:
        self._traces[backend] = trace
        self._traces.move_to_end(backend)
        if len(self._traces) > _KEPT:
            self._traces.popitem(last=False)

    async def _look(self) -> None:
        connections: dict[str, psycopg.AsyncConnection[TupleRow]] = {}
        try:
            while self._statements:
                for service in {one.service for one in self._statements.values()}:
                    if service not in connections:
                        dsn = await self._dsn(service)
                        connections[service] = await psycopg.AsyncConnection.connect(
                            dsn, autocommit=True, connect_timeout=2, application_name="eco2-dashboard"
                        )
                    await self._ask(service, connections[service])
                await asyncio.sleep(_EVERY)
        except (
            psycopg.Error,
            StartError,
            KeyError,
        ):  # the database, the emulator or the service is away, and no one to be asked
            self._statements.clear()
        finally:
            for connection in connections.values():
                await connection.close()

    async def _ask(self, service: str, connection: psycopg.AsyncConnection[TupleRow]) -> None:
        asked = [one for one in self._statements.values() if one.service == service]
        answer = await connection.execute(_HOLDERS, [[one.backend for one in asked]])
        holders = {row[0]: row[1:] for row in await answer.fetchall()}
        now = time.monotonic()
        for one in asked:
            if one.id not in self._statements:
                continue  # it has ended meanwhile
            if one.backend in holders and now - one.began < _LONGEST:
                backend, name, state, query = holders[one.backend]
                one.until, one.held_by = now, _said(backend, name, state, query)
                one.holder = self._traces.get(backend, "")
                continue
            # It works now, or has all the time: what it waits for later on is not seen.
            del self._statements[one.id]
            if one.held_by:
                self._waited(one, one.until - one.began)

    def _waited(self, one: _Statement, seconds: float) -> None:
        facts = {"said": one.held_by} | ({"holder": one.holder} if one.holder else {})
        span = {"trace": one.trace, "id": f"{getrandbits(64):016x}", "parent": one.id, "service": one.service}
        self._tell(
            span
            | {"name": "lock", "kind": "wait", "start": one.start, "ms": round(seconds * 1000, 3), "attributes": facts}
        )


def _said(backend: int, name: str, state: str, query: str | None) -> str:
    """`api-waste, idle in transaction: UPDATE analyses SET …`."""
    who = ", ".join(
        part for part in (name or f"process {backend}", state if state.startswith("idle in") else "") if part
    )
    text = " ".join((query or "").split())
    return f"{who}: {text}" if text and text != _HIDDEN else who
