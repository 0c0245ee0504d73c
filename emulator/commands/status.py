"""`eco2 status`: what runs, and where."""

import argparse
import json
import shlex
import sys

from emulator import control
from emulator.commands.common import NOTHING_RUNS, add_state, one_line, state_of
from emulator.screen import coloured, missing, screen

EXAMPLES = """\
eco2 status  # the gateway's address, each part and its state
eco2 status --json  # {"pid", "gateway", "parts": [{"name", "kind", "pid", "state", "address"}]}
eco2 status -o env > .env  # addresses for another process; in a shell: set -a; eval "$(eco2 status -o env)"
"""
EXIT_CODES = {0: "every part is ready", 1: "a part is not: paused, silent, restarting, failed"} | NOTHING_RUNS


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = "Show the gateway's address and each part."
    parser.add_argument("--json", action="store_true", help="for programs: the same as -o json")
    parser.add_argument(
        "-o", "--output", choices=["text", "json", "env"], default="text", help="env: NAME=value, passwords among them"
    )
    add_state(parser)


@one_line
def main(args: argparse.Namespace) -> int:
    if args.output == "env":
        environment = control.ask(state_of(args), "environment")["environment"]
        print("\n".join(f"{name}={shlex.quote(value)}" for name, value in sorted(environment.items())))
        return 0
    answer = control.ask(state_of(args), "status", look=True)
    about = answer["about"]
    if args.json or args.output == "json":
        print(json.dumps(about, indent=2))
    else:
        print(screen(about, None, answer["troubles"], coloured(sys.stdout)).partition("\n  A first session")[0])
    return 1 if missing(about) else 0
