"""`eco2 export FILE`: the whole state in one file, for a colleague."""

import argparse
import os
import shutil
from pathlib import Path

from emulator.commands.common import add_state, one_line, state_of
from emulator.commands.snapshot import ask_or_do, write
from emulator.state import snapshots

EXAMPLES = """\
eco2 export demo.tar.gz  # as it is now
eco2 export --snapshot before-demo demo.tar.gz  # as it was then
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Write the state of this moment, or a snapshot, to one file. `eco2 import FILE` reads it elsewhere as a snapshot. "
        "The file holds every user's data and the signing keys."
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="such as demo.tar.gz")
    parser.add_argument("--snapshot", metavar="SNAPSHOT", help="this one, and not the state of this moment")
    add_state(parser)


@one_line
def main(args: argparse.Namespace) -> int:
    state = state_of(args)
    if args.snapshot:
        return write(state, args.snapshot, args.file)
    name = f"export-{os.getpid()}"
    try:
        ask_or_do(state, "save", name)
        return write(state, name, args.file)
    finally:
        shutil.rmtree(state.path / "snapshots" / snapshots.check_name(name), ignore_errors=True)
