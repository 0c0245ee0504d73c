"""What a service's role must not leave in the database: code that would run with somebody else's rights.

The seed grants ALL on a schema and its tables, so a role could make a function and hang it on a table of its own as a trigger;
whoever writes there next, a migration or an operator, would run it. An event trigger refuses such commands where they are given,
and `refuse_planted` looks again before the owner writes, for a database in which somebody was faster.
"""

from collections.abc import Iterable

import psycopg
from psycopg import sql
from psycopg.rows import tuple_row


class Planted(psycopg.Error):
    """Code that no migration made is in the database: the message names it."""


# Only a superuser makes event triggers; `migrations` is the owner's schema, which no service may use.
_REFUSE = """
CREATE OR REPLACE FUNCTION migrations.refuse_code() RETURNS event_trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $code$
BEGIN
    IF current_user = ANY ({roles}::text[]) THEN
        RAISE EXCEPTION '% is refused: code in the database is made by migrations alone', tg_tag
            USING ERRCODE = 'insufficient_privilege';
    END IF;
END $code$
"""
_TAGS = (
    *("CREATE FUNCTION", "CREATE PROCEDURE", "CREATE AGGREGATE", "CREATE TRIGGER", "CREATE RULE", "CREATE POLICY"),
    *("ALTER FUNCTION", "ALTER PROCEDURE", "ALTER TRIGGER", "ALTER RULE", "ALTER POLICY"),
    *("CREATE OPERATOR", "CREATE OPERATOR CLASS", "CREATE CAST", "CREATE CONVERSION", "CREATE LANGUAGE", "CREATE VIEW"),
)
_PLANTED = """
SELECT format('trigger %I on %s by %s', t.tgname, t.tgrelid::regclass, p.proowner::regrole)
FROM pg_trigger t
JOIN pg_proc p ON p.oid = t.tgfoid
JOIN pg_class c ON c.oid = t.tgrelid
JOIN pg_roles r ON r.oid = p.proowner
WHERE NOT t.tgisinternal AND NOT r.rolsuper AND p.proowner <> c.relowner
UNION ALL
SELECT format('rule %I on %s by %s', w.rulename, w.ev_class::regclass, c.relowner::regrole)
FROM pg_rewrite w
JOIN pg_class c ON c.oid = w.ev_class
WHERE c.relkind IN ('r', 'p')
UNION ALL
SELECT format('function %s by %s', p.oid::regprocedure, p.proowner::regrole)
FROM pg_proc p
JOIN pg_namespace n ON n.oid = p.pronamespace
JOIN pg_roles r ON r.oid = p.proowner
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND NOT r.rolsuper AND p.proowner <> n.nspowner
ORDER BY 1
"""


def install(conn: psycopg.Connection, roles: Iterable[str]) -> None:
    """Have these roles' commands that make code refused, in the database of a superuser's connection."""
    conn.execute(sql.SQL(_REFUSE).format(roles=sql.Literal(sorted(roles))))
    conn.execute("DROP EVENT TRIGGER IF EXISTS eco2_refuse_code")
    conn.execute(
        sql.SQL(
            "CREATE EVENT TRIGGER eco2_refuse_code ON ddl_command_start WHEN TAG IN ({})"
            " EXECUTE FUNCTION migrations.refuse_code()"
        ).format(sql.SQL(", ").join(map(sql.Literal, _TAGS)))
    )


def refuse_planted(conn: psycopg.Connection) -> None:
    """Look for code that no migration made. Before every write of the owner's.

    Raises:
        Planted: there is some.
    """
    found = [str(row[0]) for row in conn.cursor(row_factory=tuple_row).execute(_PLANTED).fetchall()]
    if found:
        raise Planted(f"what no migration made would run with the owner's rights: {', '.join(found)}. Drop it first")
