"""`eco2 status`: what runs, and where."""

import argparse
import json
import sys

from emulator import control
from emulator.commands.common import add_state, one_line, state_of
from emulator.screen import coloured, screen

EXAMPLES = """\
eco2 status  # the gateway's address, each part and its state
eco2 status --json  # {"pid", "gateway", "parts": [{"name", "kind", "pid", "state", "address"}]}
"""
EXIT_CODES = {1: "a part has failed", 3: "no emulator runs"}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = "Show the gateway's address and each part."
    parser.add_argument("--json", action="store_true", help="for programs")
    add_state(parser)


@one_line
def main(args: argparse.Namespace) -> int:
    state = state_of(args)
    try:
        answer = control.ask(state, "status")
    except control.NotRunning as error:
        print(f"eco2: {error}", file=sys.stderr)
        return 3
    about = answer["about"]
    if args.json:
        print(json.dumps(about, indent=2))
    else:
        print(screen(about, None, answer["troubles"], coloured(sys.stdout)).partition("\n  A first session")[0])
    return 1 if any(part["state"] == "failed" for part in about["parts"]) else 0
