"""Rows beside those that a statement names, for the tests of each service's SQL.

A statement changes the rows that it names and no others: each that changes or deletes runs beside rows which differ from those in
one part alone (another person's, another kind's, one whose time is over), and all rows of the schema are compared. What is read
is looked for among such rows too: by its conditions, in its order, and no more than was asked for.
"""

import ast
import re
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from msgspec import Struct
from psycopg import sql
from psycopg.types.json import Jsonb

from runtime.services import ROOT
from shared import clock
from shared.db import Connection, Database
from shared.ids import new_id

NOW = clock.now()
PAST, AHEAD, LONG_AGO = NOW - timedelta(minutes=1), NOW + timedelta(minutes=1), NOW - timedelta(days=400)
PEOPLE = ("kim", "lee")
KEPT = "idempotency kim POST / key"
_UUID = re.compile(r"[0-9a-f-]{36}")
STATES = ("pending", "failure", "success")
# When each of a person's rows was made: neither in the order of the ids, nor each at a time of its own.
TIMES = {"1": LONG_AGO, "2": NOW, "3": NOW, "4": PAST}


class Undone(Exception):
    """What the test wrote is no one else's."""


class World:
    """Rows with names: `id("kim")` is the id of what is called so, from its first mention on."""

    def __init__(self, conn: Connection) -> None:
        self.conn = conn
        self._ids: dict[str, UUID] = {}
        self._first = new_id()

    def id(self, name: str) -> UUID:
        # In the order in which they are named: those of one millisecond have none.
        return self._ids.setdefault(name, UUID(int=self._first.int + len(self._ids)))

    async def insert(self, table: str, **values: Any) -> None:
        columns = [sql.Identifier(name) for name in values]
        given = sql.SQL(", ").join([sql.Placeholder()] * len(values))
        statement = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
            sql.Identifier(table), sql.SQL(", ").join(columns), given
        )
        await self.conn.execute(statement, list(values.values()))

    async def kept(self, who: str, path: str = "/") -> None:
        """The answer to somebody's request, kept for its repeats."""
        await self.insert(
            "idempotency",
            user_id=self.id(who),
            scope=f"POST {path}",
            key="key",
            body_hash=b"",
            status=201,
            headers=Jsonb({}),
            answer=Jsonb({}),
            created_at=NOW,
        )

    def named(self, found: Any) -> Any:
        """What was found, in which each id, and each row by its id, is a name; without the rows that other tests left."""
        if isinstance(found, list | tuple):
            return [one for one in map(self.named, found) if one is not None]
        if isinstance(found, Struct):
            whose = getattr(found, "id", None) or getattr(found, "user_id", None)
            return found if whose is None else self.named(whose)
        if isinstance(found, UUID):
            return {id_: name for name, id_ in self._ids.items()}.get(found)
        return found

    async def rows(self) -> dict[str, dict[str, Any]]:
        """The rows of the schema by table and primary key, in which ids are names; without those that other tests left."""
        names = {str(id_): name for name, id_ in self._ids.items()}
        there: dict[str, dict[str, Any]] = {}
        cursor = await self.conn.execute(
            """
            SELECT c.relname::text, array_agg(a.attname::text ORDER BY array_position(i.indkey::int2[], a.attnum))
            FROM pg_index i
            JOIN pg_class c ON c.oid = i.indrelid
            JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY(i.indkey)
            WHERE i.indisprimary AND c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'
            GROUP BY 1
            """
        )
        for table, columns in await cursor.fetchall():
            parts = sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(one)) for one in columns)
            statement = sql.SQL("SELECT to_jsonb(t), {} FROM {} t").format(parts, sql.Identifier(table))
            for row, *values in await (await self.conn.execute(statement)).fetchall():
                key = _UUID.sub(lambda found: names.get(found[0], found[0]), " ".join([table, *values]))
                if not _UUID.search(key):
                    there[key] = row
        return there


Call = Callable[[World], Awaitable[Any]]
# The statement's function, a call of it, and the rows that it changes: each by its name, behind it the columns that are others.
Case = tuple[str, Call, set[str]]


def each(cases: list[Case]) -> pytest.MarkDecorator:
    """A test's parameters `call` and `changed`, of each case."""
    return pytest.mark.parametrize(
        ("call", "changed"), [pytest.param(*case[1:], id=f"{case[0]}-{n}") for n, case in enumerate(cases)]
    )


async def changes(database: Database, fill: Call, call: Call) -> set[str]:
    """Which rows are others (with the columns that are), new or gone after the call, among those that `fill` makes.

    Nothing of it stays.
    """
    try:
        async with database.transaction() as conn:
            world = World(conn)
            await fill(world)
            before = await world.rows()
            await call(world)
            after = await world.rows()
            raise Undone
    except Undone:
        return (before.keys() ^ after.keys()) | {
            f"{row}: {', '.join(columns)}"
            for row in before.keys() & after.keys()
            if (columns := [name for name, value in sorted(after[row].items()) if before[row][name] != value])
        }


# The statement's function, a call of it, and what it finds, by name.
Read = tuple[str, Call, Any]


def each_read(reads: list[Read]) -> pytest.MarkDecorator:
    """A test's parameters `call` and `expected`, of each case."""
    return pytest.mark.parametrize(
        ("call", "expected"), [pytest.param(*read[1:], id=f"{read[0]}-{n}") for n, read in enumerate(reads)]
    )


async def finds(database: Database, fill: Call, call: Call) -> Any:
    """What a call finds among the rows that `fill` makes, by name. Nothing of it stays."""
    found = None
    try:
        async with database.transaction() as conn:
            world = World(conn)
            await fill(world)
            found = world.named(await call(world))
            raise Undone
    except Undone:
        return found


def _without(service: str, kinds: tuple[str, ...], cases: Sequence[tuple[str, Any, Any]]) -> set[str]:
    tree = ast.parse((ROOT / "functions" / service / "db.py").read_text(encoding="utf-8"))
    there = {node.name for node in tree.body if isinstance(node, ast.AsyncFunctionDef)}
    return {name for name in there if name.startswith(kinds)} - {name for name, *_ in cases}


def without_bystanders(service: str, cases: list[Case]) -> set[str]:
    """The functions of a service's db.py that change or delete rows and are in no case."""
    return _without(service, ("update_", "delete_", "upsert_"), cases)


def unread(service: str, reads: list[Read]) -> set[str]:
    """The functions of a service's db.py that read and are in no case."""
    return _without(service, ("select_",), reads)
