"""Loads the items: `eco2 import items [FOLDER] [--json]`, from the project's own data unless a folder is named."""

import argparse
import sys
from pathlib import Path

import msgspec
from msgspec import Struct

from functions.recycle_info import dataset
from functions.recycle_info import db as sql
from shared.db import Connection
from shared.parts import Db
from shared.triggers import command

# Items written by one statement: on a slow machine a thousand of them would pass the role's statement timeout.
BATCH = 200


class Report(Struct):
    """What a load did: added + updated + unchanged = rows; `removed` counts items that are in no file any more."""

    rows: int = 0
    added: int = 0
    updated: int = 0
    unchanged: int = 0
    removed: int = 0


@command("items")
async def import_items(args: list[str], db: Db) -> int:
    """Return 0, or 1 when the data is malformed, with its mistakes on stderr."""
    parser = argparse.ArgumentParser(prog="eco2 import items", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=dataset.FOLDER, help="where the .toml files lie")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    given = parser.parse_args(args)
    try:
        files = dataset.read_files(given.folder)
    except dataset.DatasetError as error:
        print(f"eco2 import items: nothing was loaded\n{error}", file=sys.stderr)
        return 1
    async with db.transaction() as conn:
        report = await load(conn, files)
    if given.json:
        print(msgspec.json.encode(report).decode())
    else:
        print("  ".join(f"{name} {count}" for name, count in msgspec.structs.asdict(report).items()))
    return 0


async def load(conn: Connection, files: list[dataset.File]) -> Report:
    """Make the tables say what the files say. In one transaction, so that no one sees half of it."""
    # Two loads at once (several replicas' first start) take turns: the second finds everything unchanged.
    await sql.lock_items(conn)
    for position, file in enumerate(files):
        await sql.upsert_category(conn, dataset.to_category(file), position)
    items = [dataset.to_item(entry, file.category) for file in files for entry in file.items]
    # First what is gone: its slug may be in the files again under another name.
    removed = await sql.delete_items(conn, [item.id for item in items])
    added = updated = 0
    for first in range(0, len(items), BATCH):
        new, changed = await sql.upsert_items(conn, items[first : first + BATCH])
        added, updated = added + new, updated + changed
    await sql.delete_categories(conn, [file.category for file in files])
    if added or updated or removed:
        await sql.analyze_items(conn)
    return Report(len(items), added, updated, len(items) - added - updated, removed)
