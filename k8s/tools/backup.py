"""Dumps the database to S3: every schema in one snapshot, with its checksum and the number of rows of each table.

    s3://BACKUP_BUCKET/postgres/20260102T033000Z.dump

Dumps hold people's content, so they expire: those older than BACKUP_DAYS (30) are deleted, the newest never. A person who was
erased is gone from every copy when the last dump made before has expired.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import psycopg
from psycopg import sql

from k8s.tools.store import DUMPS, JOURNALS, BackupError, Bucket, NotConfigured, bucket, run_postgres
from shared import clock

STAMP = "%Y%m%dT%H%M%SZ"


def dump(dsn: str, target: Bucket) -> str:
    """Dump the database as its owner sees it; return the key.

    Raises:
        BackupError: pg_dump failed, or the copy did not arrive whole.
    """
    key = f"{DUMPS}{clock.now():{STAMP}}.dump"
    with tempfile.TemporaryDirectory(prefix="eco2-dump-") as folder, psycopg.connect(dsn, autocommit=True) as conn:
        file = Path(folder) / "dump"
        # pg_dump and the counts see the same moment.
        conn.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        row = conn.execute("SELECT pg_export_snapshot()").fetchone()
        assert row is not None
        words = ["--format=custom", "--no-password", f"--snapshot={row[0]}", f"--file={file}"]
        run_postgres("pg_dump", *words, dsn=dsn)
        counts = count_rows(conn)
        conn.execute("COMMIT")
        facts = Path(folder) / "facts"
        facts.write_bytes(msgspec.json.encode(counts))
        target.upload(file, key, {"rows": str(sum(counts.values()))})
        target.upload(facts, f"{key}.json", {})
    return key


def count_rows(conn: psycopg.Connection) -> dict[str, int]:
    """The number of rows of every table of ours."""
    tables = conn.execute(
        """
        SELECT n.nspname, c.relname
        FROM pg_class AS c
        JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE c.relkind = 'r'
            AND n.nspname NOT LIKE 'pg\\_%%'
            AND n.nspname <> 'information_schema'
        ORDER BY 1, 2
        """
    ).fetchall()
    found = {}
    for schema, table in tables:
        row = conn.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema, table))).fetchone()
        found[f"{schema}.{table}"] = row[0] if row else 0
    return found


def expire(target: Bucket, days: float) -> list[str]:
    """Delete dumps that are older, but for the newest; return their keys."""
    before = clock.now() - timedelta(days=days)
    dumps = [key for key in target.keys(DUMPS) if key.endswith(".dump")]
    old = [key for key in dumps[:-1] if made_at(key) < before]
    for key in old:
        target.delete(f"{key}.json")
        target.delete(key)
    return old


def made_at(key: str) -> datetime:
    """The moment in a copy's name."""
    return datetime.strptime(key.rpartition("/")[2].partition(".")[0], STAMP).replace(tzinfo=UTC)


EXAMPLES = """\
eco2 backup  # dump now
eco2 backup list  # what the bucket holds
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = "Dump MIGRATION_DB_URL's database to S3 (BACKUP_BUCKET), and delete dumps past BACKUP_DAYS."
    parser.add_argument("what", nargs="?", choices=["dump", "list"], default="dump", help="default: dump")


def main(args: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> int:
    try:
        target = bucket(environ)
        if args.what == "list":
            # The bucket may hold other things, photographs too.
            copies = [key for prefix in (DUMPS, JOURNALS) for key in target.keys(prefix) if not key.endswith(".json")]
            print("\n".join(f"s3://{target.name}/{key}" for key in copies) or f"s3://{target.name} holds no copy")
            return 0
        dsn = environ.get("MIGRATION_DB_URL", "")
        if not dsn:
            print("eco2 backup: MIGRATION_DB_URL is not set: the database's address as its owner", file=sys.stderr)
            return 2
        print(f"s3://{target.name}/{dump(dsn, target)}")
        for key in expire(target, float(environ.get("BACKUP_DAYS", "30"))):
            print(f"expired: {key}")
    except (BackupError, psycopg.Error) as error:
        print(f"eco2 backup: {error}", file=sys.stderr)
        return 2 if isinstance(error, NotConfigured) else 1
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m k8s.tools.backup")
    configure(parser)
    sys.exit(main(parser.parse_args()))
