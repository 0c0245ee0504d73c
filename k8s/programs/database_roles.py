"""A second login for a role, while its password changes: PostgreSQL keeps one password a role, and pods with either must get in.

`api_auth_role_next` may do what `api_auth_role` may, and becomes it when it logs in: what it makes belongs to `api_auth_role`.
"""

import re

import psycopg
from psycopg import sql

# Settings of a role that are lists of names: in one pair of quotes they would be one name.
_LISTS = ("search_path", "temp_tablespaces", "session_preload_libraries", "local_preload_libraries")
_NAME = re.compile(r'"((?:[^"]|"")*)"|([^\s,]+)')


def next_role(role: str) -> str:
    """The name of a role's second login."""
    return f"{role}_next"


def change_password(superuser: psycopg.Connection, role: str, password: str) -> None:
    """Set a role's password. The verifier is made here, so that the password itself is in no statement and no log."""
    verifier = superuser.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
    superuser.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(verifier)))


def make_next(superuser: psycopg.Connection, role: str, password: str) -> None:
    """Make a role's second login, or give the one that is there this password."""
    names = {"next": sql.Identifier(next_role(role)), "role": sql.Identifier(role)}
    with superuser.transaction():
        found = superuser.execute("SELECT FROM pg_roles WHERE rolname = %s", [next_role(role)]).fetchone()
        if found is None:
            superuser.execute(sql.SQL("CREATE ROLE {next} LOGIN").format(**names))
        # Inherited: the right to connect is asked for before it has become the role.
        superuser.execute(sql.SQL("GRANT {role} TO {next} WITH INHERIT TRUE, SET TRUE").format(**names))
        superuser.execute(sql.SQL("ALTER ROLE {next} SET role = {role}").format(**names))
        limit = superuser.execute("SELECT rolconnlimit FROM pg_roles WHERE rolname = %s", [role]).fetchone()
        if limit:
            superuser.execute(
                sql.SQL("ALTER ROLE {next} CONNECTION LIMIT {n}").format(n=sql.Literal(limit[0]), **names)
            )
        # Time limits and the like follow the login, not the role that it becomes.
        settings = superuser.execute(
            """
            SELECT d.datname, split_part(entry, '=', 1), substr(entry, strpos(entry, '=') + 1)
              FROM pg_db_role_setting AS s
              JOIN pg_roles AS r ON r.oid = s.setrole
              LEFT JOIN pg_database AS d ON d.oid = s.setdatabase
             CROSS JOIN LATERAL unnest(s.setconfig) AS entry
             WHERE r.rolname = %s
            """,
            [role],
        ).fetchall()
        for database, key, value in settings:
            where = sql.SQL(" IN DATABASE {}").format(sql.Identifier(database)) if database else sql.SQL("")
            superuser.execute(
                sql.SQL("ALTER ROLE {next}{where} SET {key} = {value}").format(
                    where=where, key=sql.Identifier(key), value=_value(key, value), **names
                )
            )
        change_password(superuser, next_role(role), password)


def _value(key: str, value: str) -> sql.Composable:
    """What a setting is set to, of what PostgreSQL keeps of it."""
    if key not in _LISTS:
        return sql.Literal(value)
    entries = (quoted.replace('""', '"') or bare for quoted, bare in _NAME.findall(value))
    return sql.SQL(", ").join(map(sql.Literal, entries))


def drop_next(superuser: psycopg.Connection, role: str) -> None:
    """Take the second login away, and end what sessions it still has."""
    name = next_role(role)
    superuser.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", [name])
    superuser.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(name)))
