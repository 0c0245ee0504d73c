"""A table for the page Data: sorted, filtered, with where its ids lead; one row in full, as an INSERT, and its change.

All of it is under a service's own role. A name enters a statement only if the catalog has it, and quoted; a value only as a
parameter.
"""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import psycopg
from litestar.exceptions import HTTPException
from msgspec import Struct
from psycopg import sql

from emulator.dashboard.catalog import columns_of, links_of
from emulator.dashboard.guard import Refused
from runtime.services import Service

ROWS = 100
_LONG = 500
OPERATORS = {
    "eq": "{} = %s",
    "ne": "{} <> %s",
    "lt": "{} < %s",
    "le": "{} <= %s",
    "gt": "{} > %s",
    "ge": "{} >= %s",
    "contains": "strpos(lower({}::text), lower(%s)) > 0",
    "null": "{} IS NULL",
    "not_null": "{} IS NOT NULL",
}


class View(Struct):
    """What of a table is shown: sorted by a column, and filtered by one (`value` is compared as the column's own type)."""

    schema: str
    table: str
    sort: str = ""
    order: str = "asc"
    column: str = ""
    operator: str = "eq"
    value: str = ""
    offset: int = 0


class Row(Struct):
    """One row, by its whole primary key; values are PostgreSQL's text of them."""

    service: str
    schema: str
    table: str
    key: dict[str, str]


class Change(Row):
    """New values of some of its columns, if the row is still the `version` that was read."""

    version: str
    values: dict[str, str | None]
    write: bool = False


def connect(environ: dict[str, str], service: Service, *, write: bool) -> psycopg.Connection[Any]:
    """As a service's role; unless told to write, in a transaction that PostgreSQL keeps from writing."""
    conn = psycopg.connect(environ[service.database.env], autocommit=write, connect_timeout=2)
    conn.read_only = None if write else True
    return conn


def shown(value: Any) -> Any:
    """A value as JSON can have it, cut where it is long."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, dict | list):
        text = json.dumps(value, ensure_ascii=False, default=str)
    else:
        text = value.hex() if isinstance(value, bytes) else str(value)
    return text if len(text) <= _LONG else f"{text[:_LONG]}… ({len(text)} characters)"


def rows(environ: dict[str, str], service: Service, view: View) -> dict[str, Any]:
    """A page of a table, with each row's key, and the query as SQL.

    Raises:
        HTTPException: 404 without such a table; 400 for what it can't be sorted or filtered by.
        Refused: the role may not, which is the point of having roles.
    """
    with _in_words(), connect(environ, service, write=False) as conn:
        columns = columns_of(conn, view.schema, view.table)
        key = [name for name, column in columns.items() if column["key"]]
        where, values = _filter(view, columns)
        tail = sql.SQL("{}{} LIMIT %s OFFSET %s").format(where, _order(view, columns, key))
        values += [ROWS + 1, view.offset]
        of = sql.Identifier(view.schema, view.table)
        fields = sql.SQL(", ").join([sql.SQL("*"), *map(_text, key)])
        found = conn.execute(sql.SQL("SELECT {} FROM {}{}").format(fields, of, tail), values).fetchall()
        query = sql.SQL("SELECT * FROM {}{}").format(of, tail)
        copied = psycopg.ClientCursor(conn).mogrify(query, [*values[:-2], ROWS, view.offset])
        links = links_of(conn, view.schema, view.table, columns)
    return {
        "columns": list(columns),
        "rows": [[shown(value) for value in row[: len(columns)]] for row in found[:ROWS]],
        "keys": [dict(zip(key, row[len(columns) :], strict=True)) for row in found[:ROWS]] if key else [],
        "more": len(found) > ROWS,
        "role": service.database.role,
        "links": links,
        "sql": f"{copied};",
    }


def one_row(environ: dict[str, str], service: Service, row: Row) -> dict[str, Any]:
    """One row in full: its columns, their values as PostgreSQL's text, its version, and an INSERT that makes it again.

    Raises:
        HTTPException: 404 without such a table or row; 400 if `key` is not its primary key.
        Refused: the role may not.
    """
    with _in_words(), connect(environ, service, write=False) as conn:
        return _read(conn, row, columns_of(conn, row.schema, row.table))


def change_row(environ: dict[str, str], service: Service, change: Change) -> dict[str, Any]:
    """Give some columns of a row new values; what the row then is.

    Raises:
        HTTPException: 412 if the row is another version by now; 404 and 400 as `one_row`; 400 for a column that can't be written.
        Refused: without `write`, or the role may not, or a constraint forbids it: PostgreSQL's words.
    """
    with _in_words(), connect(environ, service, write=change.write) as conn:
        columns = columns_of(conn, change.schema, change.table)
        fixed = {name for name, column in columns.items() if column["key"] or column["generated"]}
        for name in change.values:
            if _known(name, columns, change) in fixed:
                raise HTTPException(f"{name} is part of the primary key, or PostgreSQL computes it", status_code=400)
        if not change.values:
            raise HTTPException("no column has a new value", status_code=400)
        where, key = _by_key(change, columns)
        new = sql.SQL(", ").join(sql.SQL("{} = %s").format(sql.Identifier(name)) for name in change.values)
        # A row that was written anew has another transaction's number in xmin.
        query = sql.SQL("UPDATE {} SET {} WHERE {} AND xmin::text = %s").format(
            sql.Identifier(change.schema, change.table), new, where
        )
        # Another transaction may hold the row as long as it likes; the page does not wait for it.
        conn.execute("SET lock_timeout = '3s'")
        done = conn.execute(query, [*change.values.values(), *key, change.version])
        now = _read(conn, change, columns)
        if not done.rowcount:
            raise HTTPException("the row was changed meanwhile: read it again before you change it", status_code=412)
        return now


@contextlib.contextmanager
def _in_words() -> Iterator[None]:
    try:
        yield
    except (
        psycopg.DataError,
        psycopg.errors.UndefinedFunction,
    ) as error:  # a value of another type, an operator that it has not
        raise HTTPException(str(error).strip(), status_code=400) from None
    except psycopg.Error as error:
        raise Refused(str(error).strip()) from None


def _text(name: str) -> sql.Composed:
    # Of a name that no column has: ORDER BY would else find two.
    return sql.SQL("{}::text AS {}").format(sql.Identifier(name), sql.Identifier(f" {name}"))


def _known(name: str, columns: dict[str, Any], of: View | Row) -> str:
    if name not in columns:
        raise HTTPException(
            f"{of.schema}.{of.table} has no column {name!r}; it has {', '.join(columns)}", status_code=400
        )
    return name


def _filter(view: View, columns: dict[str, Any]) -> tuple[sql.Composable, list[Any]]:
    if view.operator not in OPERATORS:
        raise HTTPException(f"{view.operator!r} is none of the operators {', '.join(OPERATORS)}", status_code=400)
    if not view.column:
        return sql.SQL(""), []
    test = OPERATORS[view.operator]
    column = sql.Identifier(_known(view.column, columns, view))
    return sql.SQL(" WHERE ") + sql.SQL(test).format(column), [view.value] if "%s" in test else []


def _order(view: View, columns: dict[str, Any], key: list[str]) -> sql.Composable:
    if view.order not in ("asc", "desc"):
        raise HTTPException(f"{view.order!r} is neither asc nor desc", status_code=400)
    names = [_known(view.sort, columns, view)] if view.sort else []
    direction = sql.SQL(" DESC" if view.order == "desc" else "")
    # The key at the end: a page must not begin in the middle of rows that are in no order.
    by = [sql.Identifier(name) + direction for name in names]
    by += [sql.Identifier(name) + sql.SQL("") for name in key if name not in names]
    return sql.SQL(" ORDER BY ") + sql.SQL(", ").join(by) if by else sql.SQL("")


def _by_key(row: Row, columns: dict[str, Any]) -> tuple[sql.Composed, list[str]]:
    key = [name for name, column in columns.items() if column["key"]]
    if not key or set(row.key) != set(key):
        whole = (
            f"the primary key of {row.schema}.{row.table}, {', '.join(key)}" if key else "a primary key: it has none"
        )
        raise HTTPException(f"a row is named by {whole}", status_code=400)
    where = sql.SQL(" AND ").join(sql.SQL("{} = %s").format(sql.Identifier(name)) for name in key)
    return where, [row.key[name] for name in key]


def _read(conn: psycopg.Connection[Any], row: Row, columns: dict[str, Any]) -> dict[str, Any]:
    of = sql.Identifier(row.schema, row.table)
    where, key = _by_key(row, columns)
    fields = sql.SQL(", ").join([*map(_text, columns), sql.SQL("xmin::text")])
    found = conn.execute(sql.SQL("SELECT {} FROM {} WHERE {}").format(fields, of, where), key).fetchone()
    if found is None:
        raise HTTPException("there is no such row any more", status_code=404)
    values = dict(zip(columns, found, strict=False))
    given = [name for name, column in columns.items() if not column["generated"]]
    numbered = any(column["numbered"] for column in columns.values())
    insert = sql.SQL("INSERT INTO {} ({}){} VALUES ({});").format(
        of,
        sql.SQL(", ").join(map(sql.Identifier, given)),
        sql.SQL(" OVERRIDING SYSTEM VALUE" if numbered else ""),
        sql.SQL(", ").join(sql.Literal(values[name]) for name in given),
    )
    return {
        "columns": [{"name": name} | column for name, column in columns.items()],
        "values": values,
        "version": found[-1],
        "insert": insert.as_string(conn),
    }
