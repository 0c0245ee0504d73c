"""Brings a dump back: the whole database, or one schema of it; or a worker's journal.

All of it happens in one transaction: it is as before, or as in the dump, with as many rows in each table as were dumped. In it
every accepted task of the restored schemas becomes due at once (its worker knows by the task's id whether it was done, and only
sends the result again). Afterwards results in `tasks` that no row of an owner refers to any more are counted and named.
"""

import argparse
import contextlib
import gzip
import os
import re
import shutil
import sqlite3
import sys
import tempfile
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import psycopg
from msgspec import Struct
from psycopg import sql

from k8s.tools.backup import count_rows
from k8s.tools.store import BackupError, NotConfigured, bucket, parse_s3, run_postgres
from runtime.migrate import schemas
from runtime.services import Service, ServiceError, load_services, suggestion
from shared import clock

# How long another's lock is waited for, in seconds: whoever waits for ours meanwhile is not kept for ever.
PATIENCE = 30


class Restored(Struct, frozen=True):
    """What a restore did. `lost` are ids of tasks with a result, of which the restored owners know nothing."""

    rows: dict[str, int]
    leased: int
    lost: list[str]


def restore(dsn: str, dump: Path, *, schema: str | None = None, counts: Mapping[str, int] | None = None) -> Restored:
    """Put a dump in the place of what is there.

    Args:
        dsn: the database, as its owner; roles, schemas and extensions are there (`python -m k8s.tools.prepare` makes them).
        dump: pg_dump's custom format.
        schema: this one alone, with its entries in the ledger of migrations.
        counts: the rows of each table at the dump's time, to compare with.

    Raises:
        BackupError: the dump is damaged, lacks the schema, or a table has not the rows it should have.
    """
    services = load_services()
    known = [*schemas(services), "public", "migrations"]
    listed = run_postgres("pg_restore", "--list", str(dump), dsn=dsn)
    if schema is not None and schema not in schemas(services):
        raise BackupError(f"there is no schema {schema}{suggestion(schema, schemas(services))}")
    if schema is not None and f" SCHEMA - {schema} " not in listed:
        raise BackupError(f"the dump has no schema {schema}")
    wanted = [schema] if schema else known
    with tempfile.TemporaryDirectory(prefix="eco2-restore-") as folder:
        chosen, script = Path(folder) / "list", Path(folder) / "script.sql"
        chosen.write_text("\n".join(line for line in listed.splitlines() if _wanted(line, wanted)) + "\n")
        words = ["--no-owner", f"--use-list={chosen}", f"--file={script}", str(dump)]
        run_postgres("pg_restore", *words, dsn=dsn)
        before, after = Path(folder) / "before.sql", Path(folder) / "after.sql"
        # A function may set one of pg_trgm's parameters: only its library, once loaded, lets an owner name them.
        calm = f"SET client_min_messages = warning;\nSET lock_timeout = '{PATIENCE}s';\n"
        before.write_text(f"{calm}{_clear(wanted)}SELECT public.show_limit();\n")
        restored = [s for s in services.values() if not s.is_worker and s.database.schema in wanted]
        endings = [_FORGET_FINGERPRINT, _ledger(dsn, dump, schema) if schema else ""]
        endings += [_due_now(service) for service in restored]
        endings += [_expect(table, count) for table, count in (counts or {}).items() if _counted(table, wanted)]
        after.write_text("\n".join(endings))
        files = [f"--file={file}" for file in (before, script, after)]
        settings = ["--no-psqlrc", "--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1", "--output=/dev/null"]
        try:
            run_postgres("psql", *settings, *files, dsn=dsn)
        except BackupError as error:
            raise BackupError(f"nothing was changed: {_plain(str(error))}") from None
    with psycopg.connect(dsn) as conn:
        rows = {table: count for table, count in count_rows(conn).items() if table.partition(".")[0] in wanted}
        leased = sum(rows.get(f"{service.database.schema}.outbox", 0) for service in restored)
        lost = _lost(conn, services, _made(listed))
    return Restored(rows, leased, lost)


# A new migration's fingerprint would make `eco2 migrate` believe that all is done.
_FORGET_FINGERPRINT = "DELETE FROM public.settings WHERE key = 'migrations.fingerprint';"


def _plain(said: str) -> str:
    """What psql said, without the names of files that are gone by now."""
    text = re.sub(r"psql:\S+: (ERROR|error): +", "", said.removeprefix("psql: ")).partition(" CONTEXT: ")[0]
    if re.search(r"lock timeout|deadlock detected", text):
        return f"somebody reads or writes there: stop the services first (k8s/RUNBOOK.md, Restore): {text}"
    return text


def _counted(table: str, wanted: list[str]) -> bool:
    schema = table.partition(".")[0]
    # The fingerprint above, and yoyo's own lock and log, may differ.
    return schema in wanted and schema not in ("public", "migrations")


_SAME_COUNT = """
    DO $$ BEGIN
        IF (SELECT count(*) FROM {table}) <> {count} THEN
            RAISE EXCEPTION '% was dumped with % rows', {name}, {count};
        END IF;
    END $$;
    """
# What the broker knew of an open task is of another time.
_DUE_NOW = """
    UPDATE {outbox}
    SET due_at = {now}, published_to = NULL;
    """


def _expect(table: str, count: int) -> str:
    """A statement that ends the transaction where a table has another number of rows than was dumped."""
    words = {"table": sql.Identifier(*table.split(".", 1)), "name": sql.Literal(table), "count": sql.Literal(count)}
    return sql.SQL(_SAME_COUNT).format(**words).as_string()


def _due_now(service: Service) -> str:
    """A statement that makes every open task of a schema due."""
    outbox = sql.Identifier(service.database.schema, "outbox")
    return sql.SQL(_DUE_NOW).format(outbox=outbox, now=sql.Literal(clock.now())).as_string()


def _wanted(line: str, schemas_: list[str]) -> bool:
    """Whether an entry of a dump's table of contents is restored: `123; 1259 16500 TABLE waste analyses migrator`."""
    if not line or line.startswith(";"):
        return False
    words = line.split()[3:]
    kind, rest = (
        (" ".join(words[:2]), words[2:]) if words[:2] in (["TABLE", "DATA"], ["DEFAULT", "ACL"]) else ("", words)
    )
    if not kind:
        # Kinds may be of several words; the schema is the word after them, `-` for what belongs to none.
        position = next((i for i, word in enumerate(words) if word == "-" or word in schemas_), None)
        if position is None:
            return False
        kind, rest = " ".join(words[:position]), words[position:]
    schema = rest[1] if rest and rest[0] == "-" and len(rest) > 1 else (rest[0] if rest else "")
    if rest[:2] == ["-", "SCHEMA"]:  # an ACL or a comment on a schema
        schema = rest[2] if len(rest) > 2 else ""
    # Extensions and `public` itself are the superuser's: `prepare` makes them.
    return schema in schemas_ and "EXTENSION" not in (kind, *rest[:2]) and not (schema == "public" and rest[0] == "-")


def _clear(wanted: list[str]) -> str:
    gone: list[sql.Composable] = [
        sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE;").format(sql.Identifier(s)) for s in wanted if s != "public"
    ]
    # Extensions live in `public`: of it, our one table goes.
    gone += [sql.SQL("DROP TABLE IF EXISTS public.settings;")] if "public" in wanted else []
    return sql.SQL("\n").join(gone).as_string() + "\n"


def _ledger(dsn: str, dump: Path, schema: str) -> str:
    """SQL that makes the ledger say of one schema what the dump's ledger says of it."""
    copied = run_postgres(
        "pg_restore", "--data-only", "--schema=migrations", "--table=applied", "--file=-", str(dump), dsn=dsn
    )
    lines = copied.splitlines()
    start = next((i for i, line in enumerate(lines) if line.startswith("COPY ")), None)
    if start is None:
        raise BackupError("the dump has no ledger of migrations")
    columns = lines[start].partition("(")[2].partition(")")[0].split(", ")
    place = columns.index("migration_id")
    rows = []
    for line in lines[start + 1 :]:
        if line == "\\.":
            break
        if line.split("\t")[place].startswith(f"{schema}."):
            rows.append(line)
    delete = sql.SQL("DELETE FROM {} WHERE starts_with(migration_id, {});\n").format(
        sql.Identifier("migrations", "applied"), sql.Literal(f"{schema}.")
    )
    return delete.as_string() + "\n".join([lines[start], *rows, "\\.", ""])


def _lost(conn: psycopg.Connection, services: Mapping[str, Service], made: datetime) -> list[str]:
    """Ids of tasks with a result in `tasks` that were begun after the dump was made and are in no outbox.

    If a restored schema accepted one, its row is gone with what came after the dump; one of another schema is as it was.
    """
    outboxes = [
        sql.SQL("SELECT id::text FROM {}").format(sql.Identifier(service.database.schema, "outbox"))
        for service in services.values()
        if not service.is_worker
    ]
    query = sql.SQL("SELECT task_id FROM tasks.task_results WHERE started_at > %s AND task_id NOT IN ({}) ORDER BY 1")
    made = made.astimezone(UTC).replace(tzinfo=None)  # the seed's columns have no time zone; all they hold is UTC
    return [row[0] for row in conn.execute(query.format(sql.SQL(" UNION ALL ").join(outboxes)), [made])]


def _made(listing: str) -> datetime:
    """When a dump was made, as its table of contents says: `;     Archive created at 2026-01-02 03:30:00 UTC`."""
    line = next((line for line in listing.splitlines() if "Archive created at" in line), "")
    text = line.partition("created at ")[2].removesuffix(" UTC")
    try:
        return datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        raise BackupError(f"the dump does not say when it was made: {line!r}") from None


def restore_journal(copy: Path, target: Path) -> int:
    """Put a journal's copy in place of a journal that no process holds; return its number of tasks.

    Raises:
        BackupError: the copy is damaged, or there is a journal already.
    """
    if target.exists():
        raise BackupError(f"{target} is there already: stop the worker and move the file away first")
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(f"{target.name}.restored")
    try:
        with gzip.open(copy, "rb") as packed, fresh.open("wb") as out:
            shutil.copyfileobj(packed, out)
        count = _count_tasks(fresh)
        fresh.rename(target)
    except (EOFError, zlib.error, gzip.BadGzipFile, sqlite3.DatabaseError) as error:
        raise BackupError(f"the copy of the journal is damaged: {error}") from None
    except OSError as error:
        raise BackupError(f"{target} can't be written: {error.strerror}") from None
    finally:
        fresh.unlink(missing_ok=True)
    return count


def _count_tasks(journal: Path) -> int:
    with contextlib.closing(sqlite3.connect(journal)) as db:
        (good,) = db.execute("PRAGMA integrity_check").fetchone()
        if good != "ok":
            raise BackupError(f"the copy of the journal is damaged: {good}")
        (count,) = db.execute("SELECT count(*) FROM local_tasks").fetchone()
    return int(count)


EXAMPLES = """\
eco2 restore --from latest  # the newest dump
eco2 restore --from s3://backups/postgres/x.dump --schema waste  # one schema of it
eco2 restore --from worker.db.copy --journal worker.db  # a worker's journal
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = "Bring a dump back into MIGRATION_DB_URL's database, or a journal's copy to a file."
    parser.add_argument("--from", dest="source", required=True, help="s3://BUCKET/KEY, `latest`, or a file")
    parser.add_argument("--schema", help="one schema alone")
    parser.add_argument("--journal", type=Path, metavar="FILE", help="the copy is a journal's: write it to this file")


def main(args: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> int:
    try:
        with tempfile.TemporaryDirectory(prefix="eco2-restore-") as folder:
            file, counts = _fetch(args.source, Path(folder), environ)
            if args.journal:
                print(f"{args.journal}: {restore_journal(file, args.journal)} tasks")
                return 0
            dsn = environ.get("MIGRATION_DB_URL", "")
            if not dsn:
                print("eco2 restore: MIGRATION_DB_URL is not set: the database's address as its owner", file=sys.stderr)
                return 2
            done = restore(dsn, file, schema=args.schema, counts=counts)
    except (BackupError, ServiceError, psycopg.Error) as error:
        print(f"eco2 restore: {error}", file=sys.stderr)
        return 2 if isinstance(error, NotConfigured) else 1
    print(f"{sum(done.rows.values())} rows in {len(done.rows)} tables; {done.leased} accepted tasks are due again")
    for task in done.lost:
        print(f"a result without a row: task {task}")
    return 0


def _fetch(source: str, folder: Path, environ: Mapping[str, str]) -> tuple[Path, dict[str, int] | None]:
    if source != "latest" and not source.startswith("s3://"):
        if not Path(source).is_file():
            raise BackupError(f"there is no file {source}")
        return Path(source), None
    if source == "latest":
        target = bucket(environ)
        dumps = [key for key in target.keys("postgres/") if key.endswith(".dump")]
        if not dumps:
            raise BackupError(f"s3://{target.name} holds no dump")
        key = dumps[-1]
    else:
        name, key = parse_s3(source)
        target = bucket(environ, name)
    file = folder / "copy"
    target.download(key, file)
    if not key.endswith(".dump"):
        return file, None
    facts = folder / "facts"
    target.download(f"{key}.json", facts)
    return file, msgspec.json.decode(facts.read_bytes(), type=dict[str, int])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m k8s.tools.restore")
    configure(parser)
    sys.exit(main(parser.parse_args()))
