"""`eco2 sync`: copy a worker's journal to PostgreSQL."""

import argparse
import sys

from runtime.commands.around import take
from runtime.services import ServiceError

EXAMPLES = """\
eco2 sync ai --once  # one cycle, then end
eco2 sync storage  # every JOURNAL_SYNC_SECONDS until SIGTERM
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Copy a worker's journal to PostgreSQL every few minutes, or once.\n"
        "Settings come from the environment, or from the emulator that runs in this checkout."
    )
    parser.add_argument("service", metavar="ai|storage", help="whose journal (JOURNAL_PATH)")
    parser.add_argument("--once", action="store_true", help="one cycle, then end")


def main(args: argparse.Namespace) -> int:
    from runtime.journal.syncer import main as sync

    try:
        take(args.service)
    except ServiceError as error:
        print(f"eco2 sync: {error}", file=sys.stderr)
        return 2
    return sync([args.service, *(["--once"] if args.once else [])])
