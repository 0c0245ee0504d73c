"""`eco2 functions`: every function with its trigger, service and file."""

import argparse
import sys

import msgspec

from runtime.commands import tables
from runtime.loader import LoadError, discover
from runtime.services import ServiceError, find, load_services

EXAMPLES = """\
eco2 functions  # all of them
eco2 functions waste  # one service's
eco2 functions --json  # [{"service", "name", "trigger", "where", "file"}]
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("service", nargs="?", help="only this service")
    parser.add_argument("--json", action="store_true", help="print a JSON list")


def main(args: argparse.Namespace) -> int:
    try:
        services = load_services()
        chosen = [find(args.service, services)] if args.service else list(services.values())
        found = [function for service in chosen for function in discover(service)]
    except (ServiceError, LoadError) as error:
        print(f"eco2 functions: {error}", file=sys.stderr)
        return 2
    if args.json:
        print(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
        return 0
    found.sort(key=lambda f: (f.service, f.trigger, f.where))
    rows = [
        {"function": f"{f.service}/{f.name}", "trigger": f.trigger, "where": f.where, "file": f.file} for f in found
    ]
    # The file is named like its function.
    tables.show(rows, ("function", "trigger", "where", "file"), as_json=False, spare="file")
    return 0
