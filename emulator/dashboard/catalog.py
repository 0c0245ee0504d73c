"""What PostgreSQL's catalog says of a table: its columns, and where its ids lead. Every role may read that."""

from typing import Any

import psycopg
from litestar.exceptions import HTTPException
from psycopg.rows import dict_row


def columns_of(conn: psycopg.Connection[Any], schema: str, table: str) -> dict[str, dict[str, Any]]:
    """Its columns by name, in their order: `type`, `nullable`, `generated`, `numbered` (by PostgreSQL only), `key` (in it).

    Raises:
        HTTPException: 404, there is no such table.
    """
    found = (
        conn.cursor(row_factory=dict_row)
        .execute(
            """
            SELECT a.attname AS name,
                   format_type(a.atttypid, NULL) AS type,
                   NOT a.attnotnull AS nullable,
                   a.attgenerated <> '' AS generated,
                   a.attidentity = 'a' AS numbered,
                   COALESCE(a.attnum = ANY (i.indkey), FALSE) AS key
            FROM pg_class c
            JOIN pg_namespace n ON n.oid = c.relnamespace
            JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
            LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
            WHERE c.relkind = 'r' AND n.nspname = %s AND c.relname = %s
            ORDER BY a.attnum
            """,
            [schema, table],
        )
        .fetchall()
    )
    if not found:
        raise HTTPException(f"there is no table {schema}.{table}", status_code=404)
    return {column.pop("name"): column for column in found}


def links_of(
    conn: psycopg.Connection[Any], schema: str, table: str, columns: dict[str, Any]
) -> dict[str, dict[str, str]]:
    """Where a column's ids lead: `schema`, `table` and `column`, by the column's name.

    It is a foreign key's table, or for a column `x_id` the table `x` of the same schema, if that table's key is of the same type.
    """
    declared = conn.execute(
        """
        SELECT a.attname, tn.nspname, t.relname, ta.attname
        FROM pg_constraint f
        JOIN pg_class c ON c.oid = f.conrelid
        JOIN pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = f.conkey[1]
        JOIN pg_class t ON t.oid = f.confrelid
        JOIN pg_namespace tn ON tn.oid = t.relnamespace
        JOIN pg_attribute ta ON ta.attrelid = f.confrelid AND ta.attnum = f.confkey[1]
        WHERE f.contype = 'f' AND cardinality(f.conkey) = 1 AND n.nspname = %s AND c.relname = %s
        """,
        [schema, table],
    ).fetchall()
    beside = conn.execute(
        """
        SELECT c.relname, a.attname, format_type(a.atttypid, NULL)
        FROM pg_index i
        JOIN pg_class c ON c.oid = i.indrelid
        JOIN pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
        WHERE i.indisprimary AND i.indnkeyatts = 1 AND c.relkind = 'r' AND n.nspname = %s AND c.relname <> %s
        """,
        [schema, table],
    ).fetchall()
    keys = {name: (column, kind) for name, column, kind in beside}
    links = {}
    for name, column in columns.items():
        for target in _plurals(name.removesuffix("_id")) if name.endswith("_id") else ():
            if target in keys and keys[target][1] == column["type"]:
                links[name] = {"schema": schema, "table": target, "column": keys[target][0]}
    return links | {name: {"schema": to, "table": of, "column": column} for name, to, of, column in declared}


def _plurals(name: str) -> set[str]:
    """`analysis` → `analyses`, `category` → `categories`, `item` → `items`."""
    return {name, f"{name}s", f"{name}es", f"{name[:-1]}ies", f"{name[:-2]}es"}
