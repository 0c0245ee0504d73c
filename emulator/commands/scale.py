"""`eco2 scale`: more or fewer replicas of a service."""

import argparse

from emulator import control
from emulator.commands.common import NOTHING_RUNS, add_state, counts, one_line, state_of

EXAMPLES = """\
eco2 scale worker-ai=3  # three workers, each with its own journal and syncer
eco2 scale waste/create_analysis=2  # one function as a part of its own; =0 gives it back to its service
eco2 scale api-waste=2 worker-ai=1  # behind the gateway in turn; two workers end in their own time
"""
EXIT_CODES = NOTHING_RUNS


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Have so many replicas of a service while the system runs, as in the cluster: services behind the gateway in turn, "
        "workers each with its own journal and syncer. The first is called like the service, the others `worker-ai/2` and so on. "
        "An HTTP function, named as `eco2 functions` does, becomes a part of its own, as `deployment = true` makes it in the "
        "cluster: the gateway sends its method and path there, and everything else to its service."
    )
    parser.add_argument("wanted", nargs="+", metavar="SERVICE[/FUNCTION]=N", help="such as worker-ai=3")
    add_state(parser)


@one_line
def main(args: argparse.Namespace) -> int:
    for line in control.ask(state_of(args), "scale", replicas=counts(args.wanted))["said"]:
        print(line)
    return 0
