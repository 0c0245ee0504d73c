"""`eco2 import NAME`: run a command function, such as the import of collection centers, under its service's role."""

import argparse
import asyncio
import sys

from runtime.commands.around import around
from runtime.loader import LoadError, discover, load_command
from runtime.services import ServiceError, load_services
from shared.db import Database, bind
from shared.errors import Unavailable
from shared.settings import SettingsError, read

EXAMPLES = """\
eco2 import centers FILE.csv  # KECO's list, UTF-8 or CP949
eco2 import items  # the recycling guide that ships with the code
"""


def configure(parser: argparse.ArgumentParser) -> None:
    names = [
        f.where.rpartition(" ")[2] for s in load_services().values() for f in discover(s) if f.trigger == "command"
    ]
    parser.description = (
        f"Load data into a service's schema. There are: {', '.join(sorted(names))}.\n"
        "The database's address comes from the environment, or from the emulator that runs in this checkout."
    )
    parser.add_argument("name", metavar="NAME", help="what to import")
    parser.add_argument("words", nargs=argparse.REMAINDER, metavar="...", help="the import's own arguments")


def main(args: argparse.Namespace) -> int:
    try:
        service, function = load_command(load_services(), args.name)
        settings = read(around(service), service=service.folder, database_env=service.database.env)
    except (LoadError, ServiceError, SettingsError) as error:
        print(f"eco2 import: {error}", file=sys.stderr)
        return 2

    async def run() -> int:
        database = Database(settings.database_url, size=2, name=f"import-{args.name}")
        await database.open()
        try:
            with bind(database):
                return await function(args.words)
        finally:
            await database.close()

    try:
        return asyncio.run(run())
    except Unavailable as error:
        print(f"eco2 import {args.name}: {error}", file=sys.stderr)
        return 1
