"""`eco2 functions`: every function with its trigger, service and file."""

import argparse
import sys

import msgspec

from runtime.loader import Function, LoadError, discover
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
    else:
        _print(found)
    return 0


def _print(functions: list[Function]) -> None:
    name_width = max((len(f"{f.service}/{f.name}") for f in functions), default=0)
    where_width = max((len(f.where) for f in functions), default=0)
    for f in sorted(functions, key=lambda f: (f.service, f.trigger, f.where)):
        print(f"{f.service + '/' + f.name:<{name_width}}  {f.trigger:<8}  {f.where:<{where_width}}  {f.file}")
