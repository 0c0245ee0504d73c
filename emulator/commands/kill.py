"""`eco2 kill`: a crash on demand."""

import argparse

from emulator import control
from emulator.commands.common import NOTHING_RUNS, add_state, one_line, state_of

EXAMPLES = """\
eco2 kill worker-ai  # it is started again at once
eco2 kill postgres  # every service reconnects by itself
"""
EXIT_CODES = NOTHING_RUNS


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = "Kill a part with SIGKILL, as a crash would. The emulator starts it again at once."
    parser.add_argument("part", metavar="PART", help="such as worker-ai, api-waste, postgres")
    add_state(parser)


@one_line
def main(args: argparse.Namespace) -> int:
    answer = control.ask(state_of(args), "kill", part=args.part)
    print(f"{answer['part']['name']} was killed")
    return 0
