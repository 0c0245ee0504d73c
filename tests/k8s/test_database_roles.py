"""A role's second login may do all that the role may and nothing else, and leaves nothing behind"""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from emulator.servers.postgres import Postgres
from k8s.programs.database_roles import change_password, drop_next, make_next

ROLE, NEXT = "rotated_role", "rotated_role_next"
Superuser = psycopg.Connection[Any]


@pytest.fixture
def superuser(postgres: Postgres) -> Iterator[Superuser]:
    with psycopg.connect(postgres.superuser_dsn, autocommit=True) as conn:
        conn.execute(f"CREATE ROLE {ROLE} LOGIN CONNECTION LIMIT 7")
        conn.execute(f"ALTER ROLE {ROLE} SET statement_timeout = '3s'")
        conn.execute(f"ALTER ROLE {ROLE} IN DATABASE ecoeco SET search_path = waste")
        conn.execute(f"GRANT CONNECT ON DATABASE ecoeco TO {ROLE}")
        try:
            yield conn
        finally:
            drop_next(conn, ROLE)
            conn.execute(f"DROP OWNED BY {ROLE}")
            conn.execute(f"DROP ROLE {ROLE}")


def enter(postgres: Postgres, role: str, password: str) -> psycopg.Connection[Any]:
    dsn = make_conninfo(postgres.superuser_dsn, user=role, password=password, dbname="ecoeco")
    return psycopg.connect(dsn, autocommit=True)


def one(conn: psycopg.Connection[Any], query: str, *values: Any) -> Any:
    row = conn.execute(query, values).fetchone()
    return row and row[0]


def test_who_logs_in_as_the_second_is_the_first_with_its_limits(superuser: Superuser, postgres: Postgres) -> None:
    make_next(superuser, ROLE, "new")
    with enter(postgres, NEXT, "new") as conn:
        found = [one(conn, f"SHOW {name}") for name in ("role", "statement_timeout", "search_path")]
        assert found == [ROLE, "3s", "waste"]
        assert one(conn, "SELECT current_user::text") == ROLE
    assert one(superuser, "SELECT rolconnlimit FROM pg_roles WHERE rolname = %s", NEXT) == 7
    assert (
        one(superuser, "SELECT rolsuper OR rolcreaterole OR rolcreatedb FROM pg_roles WHERE rolname = %s", NEXT)
        is False
    )


@pytest.mark.parametrize("path", ["waste, public", '"$user", waste', '"a, b", "c""d"', "''"])
def test_a_list_of_names_stays_one(path: str, superuser: Superuser, postgres: Postgres) -> None:
    superuser.execute(f"ALTER ROLE {ROLE} IN DATABASE ecoeco SET search_path = {path}".encode())
    change_password(superuser, ROLE, "own")
    make_next(superuser, ROLE, "new")
    with enter(postgres, ROLE, "own") as own, enter(postgres, NEXT, "new") as conn:
        assert one(conn, "SHOW search_path") == one(own, "SHOW search_path")


def test_it_is_made_once_and_given_the_last_password(superuser: Superuser, postgres: Postgres) -> None:
    for word in ("first", "second"):
        make_next(superuser, ROLE, word)
    enter(postgres, NEXT, "second").close()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        enter(postgres, NEXT, "first")


def test_a_second_login_is_made_whole_or_not_at_all(superuser: Superuser) -> None:
    with pytest.raises(psycopg.errors.UndefinedObject):
        make_next(superuser, "no_such_role", "new")
    assert one(superuser, "SELECT count(*) FROM pg_roles WHERE rolname = 'no_such_role_next'") == 0


def test_a_changed_password_opens_and_the_one_before_does_not(superuser: Superuser, postgres: Postgres) -> None:
    for word in ("old", "it's \\ new"):
        change_password(superuser, ROLE, word)
        enter(postgres, ROLE, word).close()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        enter(postgres, ROLE, "old")
    assert one(superuser, "SELECT rolpassword LIKE 'SCRAM-SHA-256$%%' FROM pg_authid WHERE rolname = %s", ROLE)


def test_with_the_second_login_its_sessions_end_and_no_others(superuser: Superuser, postgres: Postgres) -> None:
    change_password(superuser, ROLE, "own")
    make_next(superuser, ROLE, "next")
    with enter(postgres, ROLE, "own") as stays, enter(postgres, NEXT, "next") as goes:
        drop_next(superuser, ROLE)
        assert one(stays, "SELECT 1") == 1
        with pytest.raises(psycopg.OperationalError):
            goes.execute("SELECT 1")
    assert one(superuser, "SELECT count(*) FROM pg_roles WHERE rolname = %s", NEXT) == 0
    drop_next(superuser, ROLE)  # once more is nothing
