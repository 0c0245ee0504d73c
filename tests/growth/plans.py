"""Statements as they are planned and run: a cursor that explains each one first, with a generic plan."""

import json
import re
from collections.abc import Iterator
from typing import Any, ClassVar

import psycopg
from msgspec import Struct
from psycopg import sql
from psycopg.types.json import Jsonb

# A table of fewer rows may be read whole.
SMALL = 2000
_TYPES = {
    "datetime": "timestamptz",
    "timedelta": "interval",
    "UUID": "uuid",
    "bool": "bool",
    "bytes": "bytea",
    "float": "float8",
}
_PLACEHOLDER = re.compile(r"%%|%s|%\((\w+)\)s")


class Seen(Struct):
    """One statement of one function: its place among the function's, its plan's shape, cost and what is wrong with it."""

    function: str
    number: int
    text: str
    milliseconds: float
    buffers: int
    shape: str
    findings: list[str]

    @property
    def name(self) -> str:
        return f"{self.function} {self.number}"


class Explaining(psycopg.AsyncCursor[Any]):
    """Explains what it executes, and undoes that, before it does it."""

    function: ClassVar[str] = ""
    seen: ClassVar[list[Seen]] = []

    async def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
        # What is not prepared is planned with its values each time.
        await self._explain(str(query), params, generic=options.get("prepare") is not False)
        return await super().execute(query, params, **options)

    async def executemany(self, query: Any, params_seq: Any, **options: Any) -> None:
        rows = list(params_seq)
        await self._explain(str(query), rows[0], generic=True)
        await super().executemany(query, rows, **options)

    async def _explain(self, query: str, params: Any, *, generic: bool) -> None:
        if not re.match(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH|MERGE)\b", query, re.I):
            return
        text, values = _numbered(query, params)
        beside = psycopg.AsyncCursor(self.connection)
        await beside.execute("SAVEPOINT explaining")
        await beside.execute(f"SET LOCAL plan_cache_mode = {'force_generic_plan' if generic else 'force_custom_plan'}")
        types = f"({', '.join(map(_type, values))})" if values else ""
        await beside.execute(f"PREPARE explained {types} AS {text}")
        given = sql.SQL("({})").format(sql.SQL(", ").join(map(_literal, values))) if values else sql.SQL("")
        await beside.execute(sql.SQL("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE explained{}").format(given))
        row = await beside.fetchone()
        assert row is not None
        await beside.execute("ROLLBACK TO explaining")
        await beside.execute("DEALLOCATE explained")
        found = row[0][0] if not isinstance(row[0], str) else json.loads(row[0])[0]
        own = [one for one in self.seen if one.function == self.function]
        plan = found["Plan"]
        Explaining.seen.append(
            Seen(
                self.function,
                len(own) + 1,
                " ".join(query.split()),
                found["Execution Time"],
                plan.get("Shared Hit Blocks", 0) + plan.get("Shared Read Blocks", 0),
                _shape(plan),
                sorted(set(_findings(plan))),
            )
        )


def _numbered(query: str, params: Any) -> tuple[str, list[Any]]:
    """The statement with `$1`, and the values in their order."""
    values: list[Any] = []
    names: dict[str, int] = {}

    def put(found: re.Match[str]) -> str:
        if found[0] == "%%":
            return "%"
        if found[1] is None:
            values.append(params[len(values)])
            return f"${len(values)}"
        if found[1] not in names:
            values.append(params[found[1]])
            names[found[1]] = len(values)
        return f"${names[found[1]]}"

    return _PLACEHOLDER.sub(put, query) if params else query, values


def _type(value: Any) -> str:
    if isinstance(value, Jsonb):
        return "jsonb"
    if isinstance(value, list):
        return f"{_type(value[0])}[]" if value and _type(value[0]) != "unknown" else "unknown"
    name = type(value).__name__
    if name == "datetime" and value.tzinfo is None:
        return "timestamp"
    if name == "int":
        return "int4" if abs(value) < 1 << 31 else "int8"
    return _TYPES.get(name, "unknown")


def _literal(value: Any) -> sql.Composable:
    return sql.Literal(value)


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from _nodes(child)


def _shape(plan: dict[str, Any]) -> str:
    words = []
    for node in _nodes(plan):
        where = node.get("Index Name") or node.get("Relation Name") or ""
        words.append(f"{node['Node Type']}{f'({where})' if where else ''}")
    return " < ".join(words)


def _findings(plan: dict[str, Any]) -> Iterator[str]:
    for node in _nodes(plan):
        rows = (node.get("Actual Rows", 0) + node.get("Rows Removed by Filter", 0)) * node.get("Actual Loops", 1)
        if node["Node Type"] == "Seq Scan" and rows >= SMALL:
            yield f"reads all of {node['Relation Name']}"
        if (
            node.get("Sort Space Type") == "Disk"
            or node.get("Hash Batches", 1) > 1
            or node.get("Temp Written Blocks", 0)
        ):
            yield "spills to disk"
