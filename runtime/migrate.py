"""Roles, schemas, rights and migrations: everything that must be in PostgreSQL before a service starts.

`prepare` needs a superuser once (roles, database, schemas); `apply` runs as the owner `migrator` at each deploy. Both may
run again at any time, and by several at once: a lock that no service's role may take lets one do the work while the others wait.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, LiteralString
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from runtime import guard
from runtime.services import DATABASE, OWNER, ROOT, Service, load_services
from shared.settings import repair_dsn

# For a role's every session, whoever opens it. A request answers within seconds or not at all; nothing of ours locks long.
ROLE_SETTINGS = {
    "statement_timeout": "15s",
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": "15s",
    "timezone": "UTC",
    # A superuser's to set: a role can't give itself more of the disk for what does not fit into memory.
    "temp_file_limit": "1GB",
}
# The owner does not queue for a table behind a service's session for ever, with everybody else behind itself.
OWNER_SETTINGS = {"lock_timeout": "30s", "timezone": "UTC"}
# Only a superuser may create earthdistance; SQL qualifies what they bring (`public.ll_to_earth`, `OPERATOR(public.%)`).
EXTENSIONS = ("pg_trgm", "cube", "earthdistance", "citext", "fuzzystrmatch")
# The end of a migration's name that says: only when the code before it is gone.
AFTER = ".after.sql"
# An index, a trigger and a policy lie where their table does.
_UNQUALIFIED = re.compile(
    r"\bCREATE\s+(?:OR\s+REPLACE\s+)?(?:UNLOGGED\s+)?(?:TABLE|VIEW|MATERIALIZED\s+VIEW|SEQUENCE|TYPE|DOMAIN|FUNCTION|PROCEDURE)"
    r"\s+(?:IF\s+NOT\s+EXISTS\s+)?+(\"[^\"]+\"|\w++)(?!\s*\.)",
    re.I,
)
Phase = Literal["all", "before", "after"]
EDITED = "{} was applied before this was written into it: put what is new into a new file"
# A table that no service's role may even see: an advisory lock could be held by any of them, and every deploy would wait.
_LOCK: LiteralString = "LOCK TABLE migrations.lock IN ACCESS EXCLUSIVE MODE"
# The same for `prepare`, which runs before there is a table of ours: who makes roles goes on, who prepares waits.
_FIRST: LiteralString = "LOCK TABLE pg_catalog.pg_authid IN SHARE UPDATE EXCLUSIVE MODE"
_STILL_WRITING: LiteralString = """
SELECT a.pid, a.application_name, a.backend_start, left(a.query, 60)
FROM pg_stat_get_activity(NULL) a
JOIN pg_roles r ON r.oid = a.usesysid
WHERE r.rolname = current_user AND a.pid <> pg_backend_pid() AND a.backend_xid IS NOT NULL
ORDER BY a.backend_start
LIMIT 1
"""
# Seconds for another migration to end, and for what a killed one is still committing.
PATIENCE = 600.0
PATIENCE_FOR_WRITERS = 60.0
# Keys of public.settings: of all files together, and of each as it was applied.
_FINGERPRINT, _DIGESTS = "migrations.fingerprint", "migrations.digests"


class MigrationError(Exception):
    """The database can't be prepared: the message says what is wrong and what to do."""


def schemas(services: Mapping[str, Service]) -> dict[str, str]:
    """Every schema with the role that may use it."""
    return {service.database.schema: service.database.role for service in services.values()}


def prepare(superuser_dsn: str, passwords: Mapping[str, str], services: Mapping[str, Service] | None = None) -> None:
    """Make the database, the roles with their passwords, and one schema a role, with the seed's rights and no others.

    Args:
        superuser_dsn: a superuser's connection string, to any database of the cluster.
        passwords: the password of each role of the service.toml files and of `migrator`.

    Raises:
        MigrationError: the cluster's locale would make Korean searches find nothing.
    """
    services = load_services() if services is None else services
    owned = schemas(services)
    roles = sorted({OWNER, *owned.values()})
    with _connect(superuser_dsn) as conn, _first(superuser_dsn):
        for role in roles:
            _create_role(conn, role, passwords[role], connections(services, role))
        if not _exists(conn, "SELECT FROM pg_database WHERE datname = %s", DATABASE):
            conn.execute(
                sql.SQL(
                    "CREATE DATABASE {} OWNER {} TEMPLATE template0 ENCODING 'UTF8' LOCALE_PROVIDER libc LOCALE 'C.UTF-8'"
                ).format(sql.Identifier(DATABASE), sql.Identifier(OWNER))
            )
    with _connect(_on_database(superuser_dsn)) as conn, conn.transaction():
        check_locale(conn)
        name = sql.Identifier(DATABASE)
        conn.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS migrations AUTHORIZATION {}").format(sql.Identifier(OWNER)))
        _make_lock(conn)
        _wait_for(conn, _LOCK)
        # PUBLIC holds rights by default that no service of ours is to have.
        conn.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))
        conn.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
        conn.execute(sql.SQL("ALTER SCHEMA public OWNER TO {}").format(sql.Identifier(OWNER)))
        for extension in EXTENSIONS:
            conn.execute(sql.SQL("CREATE EXTENSION IF NOT EXISTS {} SCHEMA public").format(sql.Identifier(extension)))
        for schema, role in owned.items():
            _create_schema(conn, schema, role)
        guard.install(conn, set(owned.values()))
        for role in set(owned.values()):
            conn.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(name, sql.Identifier(role)))
            conn.execute(sql.SQL("GRANT USAGE ON SCHEMA public TO {}").format(sql.Identifier(role)))
        for role, settings in role_settings(services).items():
            _set(conn, role, settings)


def role_settings(services: Mapping[str, Service]) -> dict[str, dict[str, str]]:
    """What each role's sessions begin with."""
    found = {role: ROLE_SETTINGS | {"search_path": schema} for schema, role in schemas(services).items()}
    for service in services.values():
        if service.database.plan_once:
            found[service.database.role]["plan_cache_mode"] = "force_generic_plan"
    return found | {OWNER: OWNER_SETTINGS}


def _set(conn: psycopg.Connection, role: str, settings: Mapping[str, str]) -> None:
    """Fix what a role's sessions begin with; what the role has set for itself meanwhile goes (PostgreSQL lets it)."""
    names = {"role": sql.Identifier(role), "database": sql.Identifier(DATABASE)}
    conn.execute(sql.SQL("ALTER ROLE {role} RESET ALL").format(**names))
    conn.execute(sql.SQL("ALTER ROLE {role} IN DATABASE {database} RESET ALL").format(**names))
    for key, value in settings.items():
        conn.execute(
            sql.SQL("ALTER ROLE {role} IN DATABASE {database} SET {key} = {value}").format(
                key=sql.Identifier(key), value=sql.Literal(value), **names
            )
        )


def connections(services: Mapping[str, Service], role: str) -> int:
    """How many connections a role may hold: its pools' and a few beside each, for twice the replicas and one on its way.

    -1, without a limit, for the owner. One role that is out of hand must not keep all others out.
    """
    own = [service for service in services.values() if service.database.role == role]
    return sum((s.database.pool + 3) * (2 * s.run.replicas + 1) for s in own) if own else -1


def _create_role(conn: psycopg.Connection, role: str, password: str, most: int) -> None:
    verb = "ALTER" if _exists(conn, "SELECT FROM pg_roles WHERE rolname = %s", role) else "CREATE"
    conn.execute(
        sql.SQL(
            "{} ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT NOREPLICATION NOBYPASSRLS"
            " CONNECTION LIMIT {} PASSWORD {}"
        ).format(sql.SQL(verb), sql.Identifier(role), sql.Literal(most), sql.Literal(password))
    )


def _create_schema(conn: psycopg.Connection, schema: str, role: str) -> None:
    """The seed's three grants for the role, and the same for what later migrations add."""
    names = {"s": sql.Identifier(schema), "r": sql.Identifier(role), "o": sql.Identifier(OWNER)}
    for statement in (
        "CREATE SCHEMA IF NOT EXISTS {s} AUTHORIZATION {o}",
        "REVOKE ALL ON SCHEMA {s} FROM PUBLIC",
        "GRANT ALL ON SCHEMA {s} TO {r}",
        "GRANT ALL ON ALL TABLES IN SCHEMA {s} TO {r}",
        "GRANT ALL ON ALL SEQUENCES IN SCHEMA {s} TO {r}",
        "ALTER DEFAULT PRIVILEGES FOR ROLE {o} IN SCHEMA {s} GRANT ALL ON TABLES TO {r}",
        "ALTER DEFAULT PRIVILEGES FOR ROLE {o} IN SCHEMA {s} GRANT ALL ON SEQUENCES TO {r}",
    ):
        conn.execute(sql.SQL(statement).format(**names))


def check_locale(conn: psycopg.Connection) -> None:
    """Refuse a database in which pg_trgm sees no Hangul: under LC_CTYPE C searches find nothing and no one notices.

    Raises:
        MigrationError: it is such a database.
    """
    row = conn.execute(
        """
        SELECT pg_encoding_to_char(encoding), datlocprovider, datctype
        FROM pg_database
        WHERE datname = current_database()
        """
    ).fetchone()
    assert row is not None
    encoding, provider, ctype = row
    if encoding != "UTF8" or provider == "b" or (provider == "c" and ctype in ("C", "POSIX")):
        raise MigrationError(
            f"the database {conn.info.dbname} has encoding {encoding}, locale provider {provider} and LC_CTYPE {ctype}:"
            " Korean searches would find nothing. Make it with ENCODING 'UTF8' LOCALE_PROVIDER libc LC_CTYPE 'C.UTF-8'"
        )


class Step:
    """A set of migrations that belong together: a schema, and the files in their order."""

    def __init__(self, schema: str, folder: Path, *, template: bool = False) -> None:
        self.schema = schema
        self.template = template
        # An empty file is one that an editor has just made: applied now, what is written into it would never be.
        self.files = sorted(file for file in folder.glob("[!.]*.sql") if file.is_file() and file.stat().st_size)

    def id(self, file: Path) -> str:
        """What the migration is called in `migrations.applied`, such as `auth.0001_seed`."""
        return f"{self.schema}.{'common-' if self.template else ''}{file.stem}"

    def text(self, file: Path) -> str:
        """The file's SQL, with the schema's name where a template leaves it open."""
        return file.read_text(encoding="utf-8").replace("{schema}", self.schema)


def steps(services: Mapping[str, Service]) -> list[Step]:
    """All migrations in the order in which they run: what belongs to no one service first."""
    own = ROOT / "runtime" / "migrations"
    found = [Step("public", own / "public"), Step("tasks", own / "tasks")]
    for service in services.values():
        if not service.is_worker:
            found.append(Step(service.database.schema, service.path / "migrations"))
            found.append(Step(service.database.schema, own / "service", template=True))
    return found


def apply(migrator_dsn: str, services: Mapping[str, Service] | None = None, phase: Phase = "all") -> list[str]:
    """Apply what has not been applied yet; return the names, such as `auth.0002_names`.

    A rollout applies what adds before the new code runs, and what takes away (`NNNN_name.after.sql`) once no old code does.

    Raises:
        MigrationError: a migration fails; it is rolled back as a whole, the ones before it stay. Or somebody
            has planted code (runtime/guard.py).
    """
    services = load_services() if services is None else services
    wanted = steps(services)
    if phase != "all":
        for step in wanted:
            step.files = [file for file in step.files if file.name.endswith(AFTER) == (phase == "after")]
    texts = _texts(wanted)
    digest = hashlib.sha256(phase.encode())
    for name, text in texts.items():
        digest.update(f"{name}\n{text}".encode())
    fingerprint = digest.hexdigest()
    with _connect(_on_database(migrator_dsn)) as conn, _alone(migrator_dsn):
        check_locale(conn)
        if _setting(conn, _FINGERPRINT) == fingerprint:
            return []
        try:
            guard.refuse_planted(conn)
        except guard.Planted as planted:
            raise MigrationError(str(planted)) from None
        applied = _run(migrator_dsn, wanted)
        # What was applied before is known by the text it had then.
        digests = {name: _digest(text) for name, text in texts.items()}
        digests |= {name: kept for name, kept in (_setting(conn, _DIGESTS) or {}).items() if name not in applied}
        for key, value in ((_FINGERPRINT, fingerprint), (_DIGESTS, digests)):
            conn.execute(
                """
                INSERT INTO public.settings (key, value)
                VALUES (%s, %s)
                ON CONFLICT (key) DO UPDATE
                SET value = excluded.value
                """,
                [key, Jsonb(value)],
            )
        for role in set(schemas(services).values()):
            conn.execute(sql.SQL("GRANT SELECT ON public.settings TO {}").format(sql.Identifier(role)))
    return applied


def edited(migrator_dsn: str, services: Mapping[str, Service] | None = None) -> list[str]:
    """The migrations whose files are not as they were when they were applied: what was changed in them is not in the database."""
    texts = _texts(steps(load_services() if services is None else services))
    with _connect(_on_database(migrator_dsn)) as conn:
        known = _setting(conn, _DIGESTS) or {}
    return [name for name, text in texts.items() if known.get(name, _digest(text)) != _digest(text)]


def _texts(wanted: list[Step]) -> dict[str, str]:
    return {step.id(file): step.text(file) for step in wanted for file in step.files}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _refuse_unqualified(name: str, schema: str, text: str) -> None:
    """What is made without a schema's name would lie in `public`, where no service looks for it."""
    if found := _UNQUALIFIED.search(re.sub(r"--[^\n]*|'(?:[^']|'')*'|\$\$.*?\$\$", " ", text, flags=re.S)):
        what = " ".join(found[0].split())
        raise MigrationError(f"{name}: {what} names no schema: write {schema}.{found[1]}")


def _run(dsn: str, wanted: list[Step]) -> list[str]:
    # Imported here: a service that only checks whether anything is to be done needs no migration tool.
    from yoyo import read_migrations
    from yoyo.backends.core.postgresql import PostgresqlPsycopgBackend
    from yoyo.connections import parse_uri

    parts = urlsplit(_on_database(dsn))
    uri = urlunsplit(("postgresql+psycopg", parts.netloc, parts.path, urlencode({"schema": "migrations"}), ""))
    with tempfile.TemporaryDirectory(prefix="eco2-migrations-") as folder:
        for step in wanted:
            for file in step.files:
                # yoyo knows a migration by its file's name and sorts by it.
                Path(folder, step.id(file) + ".sql").write_text(step.text(file), encoding="utf-8")
        texts = {step.id(file): (step.schema, step.text(file)) for step in wanted for file in step.files}
        backend = PostgresqlPsycopgBackend(parse_uri(uri), "applied")
        try:
            # Not yoyo's `init_database`: to learn whether PostgreSQL rolls back a CREATE TABLE, it drops one that is not there,
            # an error in the log of every first start.
            backend.create_lock_table()
            # yoyo's own lock is a row, which stays when its process is killed. Who is here holds ours: that one has gone.
            backend.break_lock()
            names = []
            for migration in backend.to_apply(read_migrations(folder)):
                _refuse_unqualified(migration.id, *texts[migration.id])
                try:
                    _apply_one(backend, migration)
                except psycopg.Error as error:
                    raise MigrationError(f"{migration.id}: {str(error).strip()}") from error
                names.append(migration.id)
            return names
        finally:
            backend.connection.close()


def _apply_one(backend: Any, migration: Any) -> None:
    """Run yoyo's migration and note that it was, in one transaction.

    yoyo's own `apply_one` has two: who is killed between them finds half of it done at each later start.
    """
    migration.load()
    if not migration.use_transactions:  # CREATE INDEX CONCURRENTLY and its like, written so that they may run again
        backend.apply_one(migration)
        return
    with backend.transaction():
        migration.process_steps(backend, "apply")
        backend.log_migration(migration, "apply")
        backend.mark_one(migration, log=False)


def _setting(conn: psycopg.Connection, key: str) -> Any:
    if not _exists(conn, "SELECT FROM pg_tables WHERE schemaname = 'public' AND tablename = %s", "settings"):
        return None
    row = conn.execute("SELECT value FROM public.settings WHERE key = %s", [key]).fetchone()
    return row[0] if row else None


def _connect(dsn: str) -> psycopg.Connection:
    return psycopg.connect(dsn, autocommit=True, connect_timeout=5)


@contextmanager
def _first(superuser_dsn: str) -> Iterator[None]:
    # By a connection of its own: a database is made outside of transactions. A process that dies lets go of it.
    with _connect(superuser_dsn) as conn, conn.transaction():
        _wait_for(conn, _FIRST)
        yield


@contextmanager
def _alone(migrator_dsn: str) -> Iterator[None]:
    # By a connection of its own: the migrations have transactions of theirs. A process that dies lets go.
    with _connect(_on_database(migrator_dsn)) as conn:
        _make_lock(conn)
        with conn.transaction():
            _wait_for(conn, _LOCK)
            _wait_for_writers(conn)
            yield


def _wait_for(conn: psycopg.Connection, lock: LiteralString) -> None:
    conn.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(f"{PATIENCE:.0f}s")))
    try:
        conn.execute(lock)
    except psycopg.errors.LockNotAvailable:
        raise MigrationError(
            f"another migration has been under way for {PATIENCE:.0f} s: wait for its end, or end it, and run this again"
        ) from None


def _wait_for_writers(conn: psycopg.Connection) -> None:
    """A killed migration's lock is free before its own session has noticed: what that is still committing comes first."""
    until = time.monotonic() + PATIENCE_FOR_WRITERS
    while (row := conn.execute(_STILL_WRITING).fetchone()) is not None:
        if time.monotonic() > until:
            pid, program, since, query = row
            raise MigrationError(
                f"another session of {OWNER} has been writing for {PATIENCE_FOR_WRITERS:.0f} s (process {pid},"
                f" {program or 'no name'}, connected since {since:%H:%M:%S}, last statement {query!r}): wait for it or end it"
                f" (SELECT pg_terminate_backend({pid})), and run this again"
            )
        time.sleep(0.05)


def _make_lock(conn: psycopg.Connection) -> None:
    if not _exists(conn, "SELECT FROM pg_tables WHERE schemaname = 'migrations' AND tablename = %s", "lock"):
        with contextlib.suppress(psycopg.errors.UniqueViolation):  # by another one at the same moment
            conn.execute("CREATE TABLE IF NOT EXISTS migrations.lock (id INT PRIMARY KEY)")
            conn.execute(sql.SQL("ALTER TABLE migrations.lock OWNER TO {}").format(sql.Identifier(OWNER)))


def _exists(conn: psycopg.Connection, query: str, value: str) -> bool:
    return conn.execute(query, [value]).fetchone() is not None


def _on_database(dsn: str) -> str:
    """The same address with the database `ecoeco` and without a search_path of its own."""
    parts = urlsplit(repair_dsn(dsn))
    query = urlencode([pair for pair in parse_qsl(parts.query) if pair[0] != "options"])
    return urlunsplit((parts.scheme, parts.netloc, f"/{DATABASE}", query, ""))


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = "Apply the migrations that MIGRATION_DB_URL's database does not have yet."
    parser.add_argument(
        "--phase",
        choices=["all", "before", "after"],
        default="all",
        help=f"around a rollout: *{AFTER} is what comes after",
    )
    parser.add_argument("--wait", type=float, default=0, metavar="SECONDS", help="how long the database may stay away")


def main(args: argparse.Namespace) -> int:
    dsn = os.environ.get("MIGRATION_DB_URL", "")
    if not dsn:
        print("eco2 migrate: MIGRATION_DB_URL is not set: the address of the database as its owner", file=sys.stderr)
        return 2
    deadline = time.monotonic() + args.wait
    try:
        while True:
            try:
                applied = apply(dsn, phase=args.phase)
                break
            except psycopg.OperationalError:
                # The first installation starts everything at once: database, roles, and this.
                if time.monotonic() >= deadline:
                    raise
                time.sleep(2)
    except psycopg.ProgrammingError as error:
        print(f"eco2 migrate: MIGRATION_DB_URL is no address of a database: {_first_line(error)}", file=sys.stderr)
        return 2
    except (MigrationError, psycopg.OperationalError) as error:
        print(f"eco2 migrate: {_first_line(error)}", file=sys.stderr)
        return 1
    print("\n".join(applied) if applied else "nothing to apply")
    for name in edited(dsn):
        print(f"eco2 migrate: {EDITED.format(name)}", file=sys.stderr)
    return 0


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m runtime.migrate")
    configure(parser)
    sys.exit(main(parser.parse_args()))
