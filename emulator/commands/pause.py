"""`eco2 pause`: a part that stands still."""

import argparse

from emulator import control
from emulator.commands.common import NOTHING_RUNS, add_state, one_line, state_of

EXAMPLES = """\
eco2 pause syncer-ai  # stop it where it stands
eco2 pause syncer-ai --resume  # let it go on
"""
EXIT_CODES = NOTHING_RUNS


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = "Stop a part without ending it (SIGSTOP): it answers nothing and holds what it holds."
    parser.add_argument("part", metavar="PART", help="such as syncer-ai, worker-storage")
    parser.add_argument("--resume", action="store_true", help="let it go on")
    add_state(parser)


@one_line
def main(args: argparse.Namespace) -> int:
    answer = control.ask(state_of(args), "resume" if args.resume else "pause", part=args.part)
    print(f"{answer['part']['name']} is {answer['part']['state']}")
    return 0
