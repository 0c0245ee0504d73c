"""The page Top: what takes the most time, statements with their plans, and what goes wrong, by kind."""

import asyncio
import re
from typing import Annotated, Any, Literal

import psycopg
from litestar import get, post
from litestar.exceptions import HTTPException
from litestar.params import JSONBody, QueryParameter
from msgspec import Struct
from psycopg import sql

from emulator.dashboard.guard import Refused
from emulator.dashboard.site import Site
from runtime.services import find

_PLACE = re.compile(r"%(?:%|\((\w+)\)[sbt]|[sbt])")


class Statement(Struct):
    """A statement as the page names it, and the service that executes it."""

    service: str
    statement: str


@get("/top", summary="Statements, functions and errors since the dashboard's start (?by=total, p95, most or count)")
async def top(
    site: Site,
    by: Annotated[Literal["total", "p95", "most", "count"], QueryParameter()] = "total",
    limit: Annotated[int, QueryParameter(ge=1, le=500)] = 30,
) -> dict[str, Any]:
    slow = site.collector.slow
    return {
        "statements": slow.statements(by, limit),
        "functions": slow.functions(by, limit),
        "errors": slow.errors(limit),
    }


@post("/top/explain", status_code=200, summary="How PostgreSQL would carry out a statement, under its service's role")
async def explain(site: Site, data: JSONBody[Statement]) -> dict[str, str]:
    whole = site.collector.slow.statement(data.service, data.statement)
    if whole is None:  # only what a service has executed itself is asked about: this is no way in for other statements
        raise HTTPException(f"{data.service} has executed no such statement", status_code=404)
    service = find(data.service.partition("/")[0])
    dsn = (await site.environment())[service.database.env]
    return {"role": service.database.role, "plan": await asyncio.to_thread(plan, dsn, whole)}


HANDLERS: list[Any] = [top, explain]


def plan(dsn: str, statement: str) -> str:
    """The generic plan, for whatever values: nothing is executed.

    Raises:
        Refused: PostgreSQL plans no such statement; the message is what it said.
    """
    query = f"EXPLAIN (GENERIC_PLAN, COSTS, SETTINGS) {numbered(statement)}"
    try:
        with psycopg.connect(dsn, connect_timeout=2) as conn:
            conn.read_only = True
            rows = conn.execute(sql.SQL(query)).fetchall()
    except psycopg.Error as error:
        raise Refused(f"PostgreSQL makes no plan of this: {str(error).strip().splitlines()[0]}") from None
    return "\n".join(str(row[0]) for row in rows)


def numbered(statement: str) -> str:
    """psycopg's places for values (`%s`, `%(name)s`) as PostgreSQL's (`$1`); one name is one number."""
    if not any(found[0] != "%%" for found in _PLACE.finditer(statement)):
        return statement  # without values psycopg leaves % alone
    names: dict[str, int] = {}

    def number(found: re.Match[str]) -> str:
        if found[0] == "%%":
            return "%"
        name = found[1] or f" {len(names)}"  # no name has a blank
        return f"${names.setdefault(name, len(names) + 1)}"

    return _PLACE.sub(number, statement)
