"""`eco2 journal`: look at a worker's journal file, and read what can be read of a damaged one."""

import argparse
import contextlib
import sqlite3
import sys
from pathlib import Path

from runtime.journal import file
from runtime.journal.journal import Journal

EXAMPLES = """\
eco2 journal check worker.db  # sound or damaged, and what waits
eco2 journal recover worker.db  # writes worker.db.recovered
"""
EXIT_CODES = {1: "the file is damaged, or can't be recovered", 2: "called wrongly: there is no such file"}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "check: is the file sound, and what waits in it. Changes nothing; the worker may run.\n"
        "recover: read row by row what a damaged file still gives into PATH.recovered, a journal that "
        "`eco2 sync` can drain (JOURNAL_PATH=PATH.recovered). The damaged file stays as it is."
    )
    parser.add_argument("action", choices=["check", "recover"], help="see above")
    parser.add_argument("path", metavar="PATH", type=Path, help="such as worker.db, or worker.db.damaged-…")


def main(args: argparse.Namespace) -> int:
    if not args.path.is_file():
        print(f"eco2 journal: there is no file {args.path}", file=sys.stderr)
        return 2
    return check(args.path) if args.action == "check" else recover(args.path)


def check(path: Path) -> int:
    """Print what is wrong with the file, or what is in it."""
    print(f"SQLite {sqlite3.sqlite_version}")
    try:
        with contextlib.closing(file.open_file(path, readonly=True)) as db:
            found = [str(row[0]) for row in db.execute("PRAGMA integrity_check(20)")]
            if found != ["ok"]:
                print("\n".join(found))
                print(f"damaged: `eco2 journal recover {path}` reads what can be read")
                return 1
            for status, rows, unsynced, quarantined in db.execute(
                """
                SELECT status, count(*), count(*) FILTER (WHERE synced_to_pg = 0), count(quarantine)
                FROM local_tasks
                GROUP BY status
                ORDER BY status
                """
            ):
                print(f"{status:<8} {rows:>9,}  not synced {unsynced:>9,}  in quarantine {quarantined:>6,}")
    except sqlite3.DatabaseError as error:
        print(f"damaged: {error}")
        print(f"`eco2 journal recover {path}` reads what can be read")
        return 1
    print("sound")
    return 0


def recover(path: Path) -> int:
    """Copy every row that can be read into a new journal beside the damaged one."""
    target = path.with_name(path.name + ".recovered")
    if target.exists():
        print(f"eco2 journal: {target} exists already", file=sys.stderr)
        return 1
    try:
        with contextlib.closing(file.open_file(path, readonly=True)) as db:
            (tables,) = db.execute(
                """
                SELECT count(*)
                FROM sqlite_master
                WHERE name IN ('local_tasks', 'local_events')
                """
            ).fetchone()
        if not tables:
            raise sqlite3.DatabaseError("it has no table of a journal's")
        Journal(target).close()
    except (sqlite3.Error, OSError, file.JournalUnusable) as error:
        print(f"eco2 journal: nothing is recovered from {path}: {error}", file=sys.stderr)
        return 1
    rows = events = lost = 0
    with file.written(target) as out:
        for table in ("local_tasks", "local_events"):
            columns = [row[1] for row in out.execute(f"PRAGMA table_info({table})")]
            names = ", ".join(columns)
            marks = ", ".join("?" * len(columns))
            insert = f"INSERT OR IGNORE INTO {table} ({names}) VALUES ({marks})"  # noqa: S608 - names of our own schema
            read, unreadable = _readable(path, table, columns)
            lost += unreadable
            out.execute("BEGIN IMMEDIATE")
            for row in read:
                # A half-overwritten row may break a constraint; the next one need not.
                with contextlib.suppress(sqlite3.IntegrityError):
                    out.execute(insert, row)
            out.execute("COMMIT")
            rows, events = (len(read), events) if table == "local_tasks" else (rows, len(read))
    print(f"recovered {rows:,} tasks and {events:,} events into {target}; {lost:,} places could not be read")
    print(f"drain it with: JOURNAL_PATH={target} eco2 sync SERVICE --once")
    return 0


def _readable(path: Path, table: str, columns: list[str]) -> tuple[list[tuple[object, ...]], int]:
    """Rows by rowid, skipping over what can't be read: forwards until the damage, then in growing steps beyond it."""
    found: list[tuple[object, ...]] = []
    unreadable = 0
    with contextlib.closing(file.open_file(path, readonly=True)) as db:
        db.text_factory = lambda data: data.decode("utf-8", "replace")
        try:
            there = {row[1] for row in db.execute(f"PRAGMA table_info({table})")}
            names = ", ".join(c if c in there else f"NULL AS {c}" for c in columns)
        except sqlite3.DatabaseError:
            return [], 1
        if not there:
            return [], 0
        after, step = -1, 1
        # Beyond this many failures in a row nothing more is expected: steps double, so it spans 2^40 rowids.
        failures = 0
        while failures < 40:
            try:
                for row in db.execute(
                    f"SELECT rowid, {names} FROM {table} NOT INDEXED WHERE rowid > ? ORDER BY rowid",  # noqa: S608 - names of our own schema
                    [after],
                ):
                    found.append(row[1:])
                    after, step, failures = row[0], 1, 0
                break
            except sqlite3.DatabaseError:
                unreadable += 1
                failures += 1
                after += step
                step *= 2
    return found, unreadable
