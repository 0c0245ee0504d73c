"""Loads collection centers: `eco2 import centers FILE.csv [--json]`.

FILE is the public list «재활용품 유가보상 위치정보» of the Korea Environment Corporation (UTF-8 or CP949), or --sample for the
project's own few. Every row is loaded, loaded with a repair that the report names, or rejected with its reason; in one
transaction, so that a half-loaded file never shows. Loading a file again changes nothing; centers that a file no longer
names stay. Exit codes: 0 the file was read (rejected rows are in the report), 1 nothing could be loaded from it, 2 called
wrongly.
"""

import argparse
import asyncio
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from functions.location import csv_rows, keco, matching
from functions.location import db as sql
from functions.location.csv_rows import BadRow, FileError
from functions.location.db import CenterRow
from functions.location.report import Detail, Progress, Report, table
from shared.db import Connection
from shared.errors import Unavailable
from shared.parts import Db
from shared.triggers import command

SAMPLE = Path(__file__).parent / "data" / "centers.csv"
# Rows in one statement.
_BATCH = 500


class Parsed(Struct):
    """A file's usable rows with their lines, and the report so far."""

    centers: list[CenterRow]
    lines: list[int]
    silent: list[str]  # facts that the file has no columns for
    report: Report


@command("centers")
async def import_centers(args: list[str], db: Db) -> int:
    parser = argparse.ArgumentParser(
        prog="eco2 import centers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE.csv", help="the list")
    parser.add_argument("--sample", action="store_true", help="load the project's own sample instead of a file")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    given = parser.parse_args(args)
    if (given.file is None) != given.sample:
        parser.error("name a file, or --sample for the project's own")
    file = SAMPLE if given.sample else given.file
    try:
        data = await asyncio.to_thread(file.read_bytes)
    except OSError as error:
        sys.stderr.write(f"eco2 import centers: {file} can't be read: {error.strerror}\n")
        return 2
    with Progress(sys.stderr) as progress:
        try:
            # Not on the event loop: the pool makes its connection meanwhile.
            parsed = await asyncio.to_thread(parse, data, progress.show)
        except FileError as error:
            progress.clear()
            sys.stderr.write(f"eco2 import centers: nothing was loaded: {file} {error}\n")
            return 1
        async with db.transaction() as conn:
            await load(conn, "sample" if given.sample else "keco", parsed, progress.show)
    if parsed.report.loaded or parsed.report.updated:
        await _tidy(db)
    if given.json:
        sys.stdout.write(msgspec.json.encode(parsed.report).decode() + "\n")
    else:
        sys.stdout.write(table(file.name, parsed.report))
    return 1 if parsed.report.rejected and parsed.report.rejected == parsed.report.rows else 0


Show = Callable[[str, int, int], None]


def _quiet(_doing: str, _done: int, _of: int) -> None:
    """No progress bar."""


def parse(data: bytes, show: Show = _quiet) -> Parsed:
    """Read a file's rows, without the database.

    Raises:
        FileError: the file as a whole can't be used.
    """
    listed = csv_rows.open_table(data, keco.COLUMNS, keco.NEEDED)
    silent, missing = keco.silent(set(listed.columns))
    parsed = Parsed([], [], silent, Report(missing=missing))
    result = parsed.report
    for row in csv_rows.rows(listed):
        result.rows += 1
        if isinstance(row, BadRow):
            _reject(result, row.line, row.field, row.reason)
            continue
        try:
            reading = keco.read(row.cells)
        except keco.Rejected as rejected:
            _reject(result, row.line, rejected.field, rejected.reason)
            continue
        parsed.centers.append(reading.center)
        parsed.lines.append(row.line)
        result.details += [Detail(row.line, field, "repaired", reason) for field, reason in reading.repairs]
        show("reading", row.line, len(listed.lines))
    _reject_repeats(parsed)
    result.repaired = len({detail.line for detail in result.details if detail.action == "repaired"})
    result.details.sort(key=lambda detail: detail.line)
    return parsed


async def load(conn: Connection, source: str, parsed: Parsed, show: Show = _quiet) -> None:
    """Make the database say what the file says, and count in the report what that took."""
    await sql.lock_centers(conn)
    known = await sql.select_rows_of_source(conn, source)
    new: list[CenterRow] = []
    changed: list[CenterRow] = []
    for row, center in zip(parsed.centers, matching.pair(parsed.centers, known), strict=True):
        if center is None:
            new.append(row)
            continue
        facts = {fact: getattr(center, fact) for fact in ("id", *parsed.silent)}
        wanted = msgspec.structs.replace(row, **facts)
        if wanted == center:
            parsed.report.unchanged += 1
            continue
        changed.append(wanted)
        # Another number in the list is kept for the next time; to people the center is as it was.
        renumbered = msgspec.structs.replace(wanted, source_serial=center.source_serial) == center
        parsed.report.unchanged += renumbered
        parsed.report.updated += not renumbered
    parsed.report.loaded = len(new)
    done, total = 0, len(new) + len(changed)
    for batch in _batches(new):
        await sql.insert_centers(conn, source, batch)
        show("writing", done := done + len(batch), total)
    for batch in _batches(changed):
        await sql.update_centers(conn, batch)
        show("writing", done := done + len(batch), total)


async def _tidy(db: Db) -> None:
    try:
        async with db.connection() as conn:
            await sql.vacuum_centers(conn)
    except Unavailable:
        # Searches are slower until autovacuum has come by; the centers are there.
        sys.stderr.write("eco2 import centers: loaded, but the indexes could not be tidied up: run VACUUM\n")


def _reject(result: Report, line: int, field: str, reason: str) -> None:
    result.rejected += 1
    result.details.append(Detail(line, field, "rejected", reason))


def _reject_repeats(parsed: Parsed) -> None:
    """Of rows about one center the first is kept."""
    repeated = matching.repeats(parsed.centers)
    lines = {parsed.lines[index] for index in repeated}
    parsed.report.details = [detail for detail in parsed.report.details if detail.line not in lines]
    for index, first in repeated.items():
        reason = f"the same center as in line {parsed.lines[first]}, which stands"
        _reject(parsed.report, parsed.lines[index], keco.NAME, reason)
    kept = [index for index in range(len(parsed.centers)) if index not in repeated]
    parsed.centers = [parsed.centers[index] for index in kept]
    parsed.lines = [parsed.lines[index] for index in kept]


def _batches(rows: Sequence[CenterRow]) -> Iterable[Sequence[CenterRow]]:
    return (rows[start : start + _BATCH] for start in range(0, len(rows), _BATCH))
