"""`eco2 serve`: serve the HTTP functions of services, or single functions, in this process."""

import argparse
import sys

from runtime.commands.around import take
from runtime.services import ServiceError

EXAMPLES = """\
eco2 serve auth  # one service
eco2 serve auth/login  # one function of it
eco2 serve auth waste  # several in one process
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Serve HTTP functions in this process, with the service's relay and queue functions beside them.\n"
        "Settings come from the environment, or from the emulator that runs in this checkout."
    )
    parser.add_argument("targets", nargs="+", metavar="SERVICE[/FUNCTION]", help="such as auth or auth/login")


def main(args: argparse.Namespace) -> int:
    from runtime.http.host import run

    try:
        for target in args.targets:
            take(target.partition("/")[0])
    except ServiceError as error:
        print(f"eco2 serve: {error}", file=sys.stderr)
        return 2
    return run(args.targets)
