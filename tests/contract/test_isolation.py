"""Who may do what in PostgreSQL: seven roles, seven schemas, every table and eight actions, tried one by one.

Everything is tried for real and rolled back. What fails for another reason than a missing right (a NOT NULL column, a
foreign key) was allowed.
"""

import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, LiteralString

import msgspec
import psycopg
import pytest
from msgspec import Struct
from psycopg import sql
from psycopg.errors import InsufficientPrivilege, UndefinedTable

from emulator.servers.postgres import Postgres
from runtime import guard, migrate
from runtime.commands import operator
from runtime.services import DATABASE, OWNER, ROOT, load_services
from tests.clusters import Clusters

# Seven roles with their schemas (SEED.md); written out, because the test must not learn them from what it tests.
SCHEMAS = {
    "api_auth_role": "auth",
    "api_users_role": "users",
    "api_locations_role": "locations",
    "api_waste_role": "waste",
    "api_recycle_role": "recycle_info",
    "api_chat_role": "chat_llm",
    "worker_role": "tasks",
}
ACTIONS: Mapping[str, LiteralString] = {
    "select": "SELECT FROM {table} LIMIT 0",
    "insert": "INSERT INTO {table} DEFAULT VALUES",
    "update": "UPDATE {table} SET {column} = DEFAULT WHERE false",
    "delete": "DELETE FROM {table} WHERE false",
    "truncate": "TRUNCATE {table}",
    "create": "CREATE TABLE {schema}.a_table_of_somebody ()",
    "alter": "ALTER TABLE {table} ADD COLUMN a_column_of_somebody INT",
    "references": "CREATE TABLE {own}.a_table_of_somebody (FOREIGN KEY ({key}) REFERENCES {table} ({key}), {columns})",
    "usage": "SELECT {name}::regclass",
}
# The seed's rights in the own schema. Altering is the owner's, that is the migrations'.
OWN = set(ACTIONS) - {"alter"}


class Table(Struct, frozen=True):
    """A table with one of its columns and its primary key (column: type)."""

    schema: str
    name: str
    column: str
    key: dict[str, str]


@pytest.fixture(scope="module")
def owner(postgres: Postgres) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(postgres.dsn(OWNER), autocommit=True) as conn:
        yield conn


@pytest.fixture(scope="module")
def tables(owner: psycopg.Connection[Any]) -> Iterator[list[Table]]:
    """Every table there is, and in each schema one that a later migration adds."""
    for schema in SCHEMAS.values():
        owner.execute(
            sql.SQL("CREATE TABLE {} (id UUID PRIMARY KEY, number SERIAL)").format(
                sql.Identifier(schema, "added_later")
            )
        )
    rows = owner.execute(
        "SELECT n.nspname, c.relname, (SELECT attname FROM pg_attribute a WHERE attrelid = c.oid AND attnum > 0"
        " AND attgenerated = '' AND NOT attisdropped ORDER BY attnum LIMIT 1),"
        " (SELECT json_object_agg(attname, format_type(atttypid, atttypmod)) FROM pg_index i JOIN pg_attribute a"
        " ON a.attrelid = c.oid AND a.attnum = ANY(i.indkey) WHERE i.indrelid = c.oid AND i.indisprimary)"
        " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relkind IN ('r', 'p') AND n.nspname = ANY(%s)",
        [[*SCHEMAS.values(), "public", "migrations"]],
    ).fetchall()
    yield [Table(*row) for row in rows]
    for schema in SCHEMAS.values():
        owner.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(schema, "added_later")))


def test_the_seven_roles_and_schemas_are_the_seed_s(tables: list[Table]) -> None:
    found = {service.database.role: service.database.schema for service in load_services().values()}
    assert found == SCHEMAS
    assert {table.schema for table in tables} == {*SCHEMAS.values(), "public", "migrations"}


def allowed(conn: psycopg.Connection[Any], action: str, table: Table, own: str) -> bool:
    query = sql.SQL(ACTIONS[action]).format(
        table=sql.Identifier(table.schema, table.name),
        schema=sql.Identifier(table.schema),
        own=sql.Identifier(own),
        column=sql.Identifier(table.column),
        key=sql.SQL(", ").join(map(sql.Identifier, table.key)),
        columns=sql.SQL(", ").join(
            sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(kind)) for name, kind in table.key.items()
        ),
        name=sql.Literal(sql.Identifier(table.schema, table.name).as_string(conn)),
    )
    try:
        with conn.transaction(force_rollback=True):
            conn.execute(query)
    except InsufficientPrivilege:
        return False
    except (UndefinedTable, psycopg.errors.SyntaxError):
        raise
    except psycopg.Error:
        pass
    return True


@pytest.mark.parametrize("role", SCHEMAS)
def test_a_role_may_do_everything_in_its_own_schema_and_nothing_elsewhere(
    postgres: Postgres, tables: list[Table], role: str
) -> None:
    own = SCHEMAS[role]
    wrong = []
    with psycopg.connect(postgres.dsn(role), autocommit=True) as conn:
        for table in tables:
            for action in ACTIONS:
                want = action in OWN if table.schema == own else False
                if table.schema == "public":
                    # Common settings: readable by all, written by migrations and operators.
                    want = action == "usage" or (action == "select" and table.name == "settings")
                if allowed(conn, action, table, own) != want:
                    wrong.append(
                        f"{'wrongly denied' if want else 'wrongly allowed'}: {action} {table.schema}.{table.name}"
                    )
    assert wrong == []


@pytest.mark.parametrize("role", SCHEMAS)
def test_a_sequence_of_a_later_migration_is_its_own_role_s(postgres: Postgres, tables: list[Table], role: str) -> None:
    with psycopg.connect(postgres.dsn(role), autocommit=True) as conn:
        for schema in SCHEMAS.values():
            statement = sql.SQL("SELECT nextval({})").format(sql.Literal(f"{schema}.added_later_number_seq"))
            if schema == SCHEMAS[role]:
                conn.execute(statement)
            else:
                with pytest.raises(InsufficientPrivilege):
                    conn.execute(statement)


@pytest.mark.parametrize("role", SCHEMAS)
def test_no_role_can_become_another(postgres: Postgres, role: str) -> None:
    others = {*SCHEMAS, OWNER, "postgres", "pg_read_all_data", "pg_write_all_data"} - {role}
    with psycopg.connect(postgres.dsn(role), autocommit=True) as conn:
        for other in sorted(others):
            for statement in ("SET ROLE {}", "SET SESSION AUTHORIZATION {}", "GRANT {} TO CURRENT_USER"):
                with pytest.raises(InsufficientPrivilege):
                    conn.execute(sql.SQL(statement).format(sql.Identifier(other)))
        assert conn.execute("SELECT current_user, session_user").fetchone() == (role, role)


@pytest.mark.parametrize("role", SCHEMAS)
@pytest.mark.parametrize(
    "statement",
    [
        "CREATE SCHEMA somebody",
        "CREATE DATABASE somebody",
        "CREATE ROLE somebody",
        "CREATE TEMPORARY TABLE somebody ()",
        "CREATE EXTENSION dblink",
        "CREATE FUNCTION public.somebody() RETURNS int LANGUAGE sql RETURN 1",
        "SELECT pg_read_file('PG_VERSION')",
        "COPY (SELECT 1) TO PROGRAM 'true'",
        "SELECT passwd FROM pg_shadow",
        "ALTER ROLE postgres PASSWORD 'x'",
        "ALTER SYSTEM SET work_mem = '1MB'",
        "GRANT USAGE ON SCHEMA auth TO PUBLIC",
    ],
)
def test_no_role_reaches_past_its_schema(postgres: Postgres, role: str, statement: LiteralString) -> None:
    with psycopg.connect(postgres.dsn(role), autocommit=True) as conn:
        if statement.startswith("GRANT") and role == "api_auth_role":
            # Whoever holds a right without the grant option may say GRANT; PostgreSQL warns and grants nothing.
            conn.execute(statement)
            row = conn.execute("SELECT has_schema_privilege('api_users_role', 'auth', 'USAGE')").fetchone()
            assert row == (False,)
        else:
            with pytest.raises(InsufficientPrivilege):
                conn.execute(statement)


@pytest.fixture
def server(clusters: Clusters, tmp_path: Path) -> Iterator[Postgres]:
    """A server of the test's own, with all migrations."""
    server = clusters.migrated(tmp_path / "state")
    try:
        yield server.start()
    finally:
        server.destroy()


PLANT: tuple[LiteralString, ...] = (
    """
    CREATE FUNCTION users.planted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        GRANT USAGE ON SCHEMA auth TO api_users_role;
        GRANT SELECT ON auth.users TO api_users_role;
        RETURN NEW;
    END $$
    """,
    "CREATE TRIGGER planted BEFORE UPDATE ON users.settings EXECUTE FUNCTION users.planted()",
    "CREATE TRIGGER planted BEFORE UPDATE ON users.outbox EXECUTE FUNCTION users.planted()",
)
# Each runs with the rights of whoever touches the table next.
CODE: tuple[LiteralString, ...] = (
    PLANT[0],
    "CREATE TRIGGER t BEFORE UPDATE ON users.settings EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "CREATE RULE r AS ON UPDATE TO users.settings DO ALSO SELECT 1",
    "CREATE PROCEDURE users.p() LANGUAGE sql AS 'SELECT 1'",
    "CREATE AGGREGATE users.a (int) (SFUNC = int4pl, STYPE = int)",
    "CREATE VIEW users.v AS SELECT 1",
    "CREATE OPERATOR users.=== (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq)",
    "CREATE OPERATOR CLASS users.c FOR TYPE int USING btree AS STORAGE int",
    "CREATE CAST (int AS text) WITH INOUT",
    "CREATE CONVERSION users.c FOR 'UTF8' TO 'LATIN1' FROM utf8_to_iso8859_1",
    "CREATE LANGUAGE l HANDLER plpgsql_call_handler",
    "CREATE POLICY p ON users.settings",
    "ALTER POLICY p ON users.settings RENAME TO q",
    "ALTER FUNCTION users.f() RENAME TO g",
    "ALTER PROCEDURE users.p() RENAME TO q",
    "ALTER TRIGGER t ON users.settings RENAME TO u",
    "ALTER RULE r ON users.settings RENAME TO s",
)


@pytest.mark.parametrize("statement", CODE, ids=lambda text: " ".join(text.split()[:2]))
def test_a_role_makes_no_code_in_its_own_schema(postgres: Postgres, statement: LiteralString) -> None:
    """Whoever owns the table or the function: the role may make some of its own."""
    refused = pytest.raises(InsufficientPrivilege, match="code in the database is made by migrations alone")
    with psycopg.connect(postgres.dsn("api_users_role")) as conn, refused:
        conn.execute(statement)


def test_one_role_does_not_keep_all_others_out(server: Postgres) -> None:
    most = migrate.connections(load_services(), "api_users_role")
    assert 0 < most < 100
    held = [psycopg.connect(server.dsn("api_users_role")) for _ in range(most)]
    with pytest.raises(psycopg.OperationalError, match="too many connections for role"):
        psycopg.connect(server.dsn("api_users_role"))
    psycopg.connect(server.dsn("api_auth_role")).close()
    for conn in held:
        conn.close()


def test_no_service_can_hold_up_a_migration(server: Postgres) -> None:
    with psycopg.connect(server.dsn("api_users_role"), autocommit=True) as conn:
        for lock in (migrate._LOCK, migrate._FIRST):
            with conn.transaction(), pytest.raises(InsufficientPrivilege):
                conn.execute(lock)
        services = load_services()
        assert migrate.apply(server.dsn(OWNER), services) == []
        migrate.prepare(server.superuser_dsn, server.state.passwords())


def test_a_migration_says_who_keeps_it_waiting(server: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrate, "PATIENCE_FOR_WRITERS", 0.3)
    with psycopg.connect(server.dsn(OWNER), application_name="somebody") as conn:
        conn.execute("UPDATE public.settings SET value = value WHERE key = 'functions.disabled'")
        with pytest.raises(
            migrate.MigrationError, match=rf"process {conn.info.backend_pid}, somebody.*pg_terminate_backend"
        ):
            migrate.apply(server.dsn(OWNER))
    assert migrate.apply(server.dsn(OWNER)) == []


def test_a_migration_says_that_another_is_under_way(server: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrate, "PATIENCE", 1.0)
    with psycopg.connect(server.dsn(OWNER)) as conn:
        conn.execute(migrate._LOCK)
        under_way = pytest.raises(migrate.MigrationError, match="another migration has been under way")
        with under_way:
            migrate.apply(server.dsn(OWNER))
        with under_way:
            migrate.prepare(server.superuser_dsn, server.state.passwords())
    with psycopg.connect(server.superuser_dsn) as conn:
        conn.execute(migrate._FIRST)
        with under_way:
            migrate.prepare(server.superuser_dsn, server.state.passwords())


def test_a_migration_s_address_names_our_database_and_no_schema_to_look_in_first() -> None:
    given = "postgresql://migrator@db:5432/postgres?sslmode=require&options=-csearch_path%3Dauth"
    assert migrate._on_database(given) == "postgresql://migrator@db:5432/ecoeco?sslmode=require"


def test_a_migration_waits_for_another_as_long_as_that_may_take(server: Postgres) -> None:
    """Longer than the owner waits for a table, and not for ever as a superuser would."""
    for dsn in (server.dsn(OWNER), migrate._on_database(server.superuser_dsn)):
        with psycopg.connect(dsn) as conn:
            migrate._wait_for(conn, migrate._LOCK)
            assert conn.execute("SHOW lock_timeout").fetchone() == ("10min",)


def test_who_was_killed_in_the_first_migration_locks_no_one_out(clusters: Clusters, tmp_path: Path) -> None:
    server = clusters.fresh(tmp_path / "state")
    try:
        server.start()
        migrate.prepare(server.superuser_dsn, server.state.passwords())
        with psycopg.connect(server.dsn(OWNER)) as conn:
            # What yoyo leaves behind while it makes its own tables.
            conn.execute(
                "CREATE TABLE migrations.yoyo_lock (locked INT PRIMARY KEY, ctime TIMESTAMP, pid INT NOT NULL)"
            )
            conn.execute("INSERT INTO migrations.yoyo_lock VALUES (1, now(), 1)")
        assert "auth.0001_seed" in migrate.apply(server.dsn(OWNER))
    finally:
        server.destroy()


def test_a_migration_that_can_not_be_noted_has_not_happened(server: Postgres, tmp_path: Path) -> None:
    services = load_services()
    folder = tmp_path / "userinfo"
    shutil.copytree(services["userinfo"].path / "migrations", folder / "migrations")
    (folder / "migrations" / "0900_later.sql").write_text("CREATE TABLE users.later (id INT);\n")
    # An editor has just made it: applied now, what is written into it would never be.
    (folder / "migrations" / "0901_later.sql").touch()
    services["userinfo"] = msgspec.structs.replace(services["userinfo"], folder=str(folder))
    with psycopg.connect(server.dsn(OWNER), autocommit=True) as conn:
        conn.execute("ALTER TABLE migrations.applied ADD CONSTRAINT no_more CHECK (migration_id NOT LIKE '%later')")
        with pytest.raises(migrate.MigrationError, match="no_more"):
            migrate.apply(server.dsn(OWNER), services)
        conn.execute("ALTER TABLE migrations.applied DROP CONSTRAINT no_more")
    # Who was killed there tries again.
    assert migrate.apply(server.dsn(OWNER), services) == ["users.0900_later"]


def test_a_service_s_table_that_is_held_does_not_hold_a_migration_for_ever(server: Postgres) -> None:
    with psycopg.connect(server.dsn(OWNER)) as conn:
        assert conn.execute("SHOW lock_timeout").fetchone() == ("30s",)


def test_what_a_role_loosens_for_itself_is_fixed_again_and_the_disk_s_limit_it_can_not_loosen(server: Postgres) -> None:
    for role in SCHEMAS:
        loosen(server, role)
        with psycopg.connect(server.dsn(role)) as conn:
            assert conn.execute("SHOW statement_timeout").fetchone() == ("0",)
            assert conn.execute("SHOW work_mem").fetchone() == ("1GB",)
    migrate.prepare(server.superuser_dsn, server.state.passwords())
    for role, schema in SCHEMAS.items():
        with psycopg.connect(server.dsn(role)) as conn:
            wanted = migrate.role_settings(load_services())[role]
            assert wanted["search_path"] == schema
            assert {name: conn.execute("SELECT current_setting(%s)", [name]).fetchone() for name in wanted} == {
                name: (value,) for name, value in wanted.items()
            }, role
            # What nothing of ours sets is as the server has it.
            assert conn.execute("SHOW work_mem").fetchone() != ("1GB",), role


def loosen(server: Postgres, role: str) -> None:
    """What PostgreSQL lets every role set: what its own later sessions begin with; and try what it does not."""
    with psycopg.connect(server.dsn(role), autocommit=True) as conn:
        for where in ("", "IN DATABASE ecoeco "):
            for setting in (
                *("statement_timeout = 0", "search_path = elsewhere", "work_mem = '1GB'"),
                "session_replication_role = origin",
            ):
                try:
                    conn.execute(f"ALTER ROLE {role} {where}SET {setting}".encode())
                except InsufficientPrivilege:
                    assert setting.startswith("session_replication_role")
        with pytest.raises(InsufficientPrivilege):
            conn.execute("SET temp_file_limit = -1")
        with pytest.raises(InsufficientPrivilege):
            conn.execute(f"ALTER ROLE {role} SET temp_file_limit = -1".encode())
        for other in {*SCHEMAS, OWNER} - {role}:
            with pytest.raises(InsufficientPrivilege):
                conn.execute(f"ALTER ROLE {other} SET statement_timeout = 0".encode())


@pytest.mark.parametrize("role", SCHEMAS)
def test_a_role_creates_nothing_outside_of_its_own_schema(postgres: Postgres, role: str) -> None:
    with psycopg.connect(postgres.dsn(role), autocommit=True) as conn:
        rows = conn.execute(
            """
            SELECT nspname
            FROM pg_namespace
            WHERE has_schema_privilege(oid, 'CREATE') AND nspname NOT LIKE 'pg_temp%'
            """
        ).fetchall()
        assert rows == [(SCHEMAS[role],)]
        assert conn.execute(
            "SELECT has_database_privilege('ecoeco', 'CREATE'), has_database_privilege('ecoeco', 'TEMP')"
        ).fetchone() == (False, False)


@pytest.mark.parametrize("role", ["api_users_role", "api_locations_role"])
def test_another_role_can_not_take_a_person_s_turn(postgres: Postgres, role: str) -> None:
    for other in SCHEMAS:
        if other != role:
            with psycopg.connect(postgres.dsn(other)) as conn, pytest.raises(InsufficientPrivilege):
                conn.execute(f"SELECT FROM {SCHEMAS[role]}.turns FOR KEY SHARE".encode())


def plant(server: Postgres) -> None:
    """What a role had left before roles were refused code."""
    with psycopg.connect(migrate._on_database(server.superuser_dsn), autocommit=True) as conn:
        conn.execute("ALTER EVENT TRIGGER eco2_refuse_code DISABLE")
    with psycopg.connect(server.dsn("api_users_role"), autocommit=True) as conn:
        for statement in PLANT:
            conn.execute(statement)


def test_no_operator_runs_what_a_role_has_planted(server: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(server)
    monkeypatch.setenv("MIGRATION_DB_URL", server.dsn(OWNER))
    with pytest.raises(guard.Planted, match=r"trigger planted on users\.outbox by api_users_role"):
        operator.connect()


def test_a_role_can_not_have_a_migration_do_what_it_may_not(server: Postgres, tmp_path: Path) -> None:
    """A trigger runs with the rights of whoever writes, and the seed's GRANT ALL lets a role hang one on its own tables."""
    plant(server)
    services = load_services()
    folder = tmp_path / "userinfo"
    shutil.copytree(services["userinfo"].path / "migrations", folder / "migrations")
    (folder / "migrations" / "0900_later.sql").write_text("UPDATE users.settings SET theme = 'light';\n")
    services["userinfo"] = msgspec.structs.replace(services["userinfo"], folder=str(folder))
    with pytest.raises(migrate.MigrationError, match=r"planted on users\.settings by api_users_role"):
        migrate.apply(server.dsn(OWNER), services)
    with psycopg.connect(server.dsn("api_users_role")) as conn, pytest.raises(InsufficientPrivilege):
        conn.execute("SELECT count(*) FROM auth.users")
    with psycopg.connect(server.dsn(OWNER)) as conn:
        conn.execute("DROP TRIGGER planted ON users.settings")
        conn.execute("DROP TRIGGER planted ON users.outbox")
    with psycopg.connect(server.dsn("api_users_role")) as conn:
        conn.execute("DROP FUNCTION users.planted()")
    assert migrate.apply(server.dsn(OWNER), services) == ["users.0900_later"]
    # What is written into it from now on is said, also after others were applied behind it.
    (folder / "migrations" / "0900_later.sql").write_text("UPDATE users.settings SET theme = 'dark';\n")
    (folder / "migrations" / "0901_later.sql").write_text("UPDATE users.settings SET theme = 'light';\n")
    assert migrate.edited(server.dsn(OWNER), services) == ["users.0900_later"]
    assert migrate.apply(server.dsn(OWNER), services) == ["users.0901_later"]
    assert migrate.edited(server.dsn(OWNER), services) == ["users.0900_later"]
    assert (
        "yoyo_tmp" not in server.log.read_text()
    )  # the tool looks for nothing that is not there: a start logs no error


def test_the_cluster_lets_a_services_role_into_its_own_database_alone(server: Postgres) -> None:
    """In the others PUBLIC may connect, and make temporary tables and large objects."""
    shutil.copyfile(ROOT / "k8s" / "base" / "postgres" / "pg_hba.conf", server.cluster / "pg_hba.conf")
    with psycopg.connect(server.superuser_dsn, autocommit=True) as conn:
        conn.execute("SELECT pg_reload_conf()")
        assert conn.execute("SELECT count(*) FROM pg_hba_file_rules WHERE error IS NOT NULL").fetchone() == (0,)
    end = time.monotonic() + 10
    for name in ("postgres", "template1"):
        elsewhere = server.dsn("api_auth_role").replace(f"/{DATABASE}", f"/{name}")
        with pytest.raises(psycopg.OperationalError, match="no pg_hba"):
            while time.monotonic() < end:  # until the server has read it
                psycopg.connect(elsewhere).close()
    psycopg.connect(server.dsn("api_auth_role")).close()
    psycopg.connect(server.dsn(OWNER)).close()
    psycopg.connect(server.superuser_dsn).close()


def test_a_password_is_needed_and_it_is_each_role_s_own(postgres: Postgres) -> None:
    passwords = postgres.state.passwords()
    assert len({passwords[role] for role in SCHEMAS}) == len(SCHEMAS)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(postgres.dsn("worker_role"), user="api_auth_role")
