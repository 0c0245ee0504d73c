"""`eco2 open`: the dashboard in a browser, with the token that it asks for."""

import argparse
import os
import sys
import webbrowser

from emulator import control
from emulator.commands.common import add_state, one_line, state_of

PAGES = ("system", "functions", "requests", "tasks", "logs", "top", "data", "mail", "try")
EXAMPLES = """\
eco2 open  # the dashboard
eco2 open tasks  # one page of it
eco2 open --print  # the address alone, for another browser
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Open the dashboard of the running system and print its address. The address ends with a token that lets its holder "
        "read and change everything here until the system stops: give it to no one."
    )
    parser.add_argument("page", nargs="?", default="system", choices=PAGES, metavar="PAGE", help=", ".join(PAGES))
    parser.add_argument("--print", action="store_true", help="open no browser")
    add_state(parser)


@one_line
def main(args: argparse.Namespace) -> int:
    about = control.find(state_of(args))
    # In the fragment: a browser sends it to no one, and no log has it.
    address = f"{about['gateway']}/_emulator/#token={about['token']}&page={args.page}"
    print(address, flush=True)
    # Where there is no screen, webbrowser would start a browser for the terminal and wait for it.
    if not args.print and (sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        webbrowser.open(address)
    return 0
