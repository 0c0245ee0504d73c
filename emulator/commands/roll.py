"""`eco2 roll`: a rolling update of one service."""

import argparse

from emulator import control
from emulator.commands.common import NOTHING_RUNS, add_state, one_line, state_of

EXAMPLES = """\
eco2 roll api-waste  # its replicas one after another, old and new code side by side
eco2 roll worker-ai  # the workers and their syncers
"""
EXIT_CODES = {1: "a replica did not start on the new code; those after it stay as they are"} | NOTHING_RUNS


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = "Replace the replicas of a service one after another, each when the one before is ready."
    parser.add_argument("service", metavar="SERVICE", help="such as api-waste")
    add_state(parser)


@one_line
def main(args: argparse.Namespace) -> int:
    replaced = control.ask(state_of(args), "roll", service=args.service)["replaced"]
    print(f"replaced {', '.join(replaced)}")
    return 0
