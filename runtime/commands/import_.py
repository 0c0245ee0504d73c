"""`eco2 import NAME`: run a command function, such as the import of collection centers, under its service's role.

`eco2 import FILE` takes in what a colleague's `eco2 export` wrote.
"""

import argparse
import asyncio
import importlib
import logging
import sys
from pathlib import Path
from typing import Any

from runtime.binding import bind_command
from runtime.commands.around import around
from runtime.loader import LoadError, discover, load_command
from runtime.parts import Parts
from runtime.services import ServiceError, load_services
from shared.errors import Unavailable
from shared.settings import SettingsError, read

EXAMPLES = """\
eco2 import centers FILE.csv  # KECO's list, UTF-8 or CP949
eco2 import items  # the recycling guide that ships with the code
eco2 import demo.tar.gz  # a colleague's export, as a snapshot
"""


def configure(parser: argparse.ArgumentParser) -> None:
    names = [
        f.where.rpartition(" ")[2] for s in load_services().values() for f in discover(s) if f.trigger == "command"
    ]
    parser.description = (
        f"Load data into a service's schema: {', '.join(sorted(names))}.\n"
        "The database's address comes from the environment, or from the emulator that runs in this checkout.\n\n"
        "Or take in a file that `eco2 export` wrote: it becomes a snapshot of the emulator in this checkout, which\n"
        "`eco2 snapshot restore NAME` brings back."
    )
    parser.add_argument("name", metavar="NAME|FILE", help="what to import")
    parser.add_argument("words", nargs=argparse.REMAINDER, metavar="...", help="the import's own arguments")


def _snapshots() -> Any:
    # By name: the runtime imports nothing of the emulator's, and in a pod there is none.
    try:
        return importlib.import_module("emulator.commands.snapshot")
    except ModuleNotFoundError:
        return None


def main(args: argparse.Namespace) -> int:
    try:
        service, function = load_command(load_services(), args.name)
        settings = read(around(service), service=service.folder, database_env=service.database.env)
    except LoadError as error:
        if Path(args.name).is_file() and (snapshot := _snapshots()) is not None:
            parser = argparse.ArgumentParser(prog="eco2 import")
            snapshot.configure(parser)
            return int(snapshot.main(parser.parse_args(["import", args.name, *args.words])))
        print(f"eco2 import: {error}, and no such file", file=sys.stderr)
        return 2
    except (ServiceError, SettingsError) as error:
        print(f"eco2 import: {error}", file=sys.stderr)
        return 2

    # What the pool tries and tries again is for logs; the person gets the one line below.
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)

    async def run() -> int:
        parts = Parts(service, settings, pool=2)
        await parts["db"].open()
        try:
            return int(await bind_command(function, parts)(args.words))
        finally:
            await parts.close()

    try:
        return asyncio.run(run())
    except Unavailable as error:
        print(f"eco2 import {args.name}: {error}", file=sys.stderr)
        return 1
