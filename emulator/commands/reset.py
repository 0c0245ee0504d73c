"""`eco2 reset`: begin anew with an empty state."""

import argparse
import shutil

from emulator import control
from emulator.commands.common import add_state, confirmed, one_line, state_of
from emulator.process import StartError
from emulator.servers.postgres import remove_cluster

# What is costly to make and holds nothing of anybody's, and what one made on purpose.
_KEPT = {"model", "snapshots", "recordings", "lock"}

EXAMPLES = """\
eco2 reset  # ask, then begin anew
eco2 reset --yes  # do not ask
"""
EXIT_CODES = {1: "nothing was deleted: the emulator runs, or the answer was no"}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Delete all data, keys and passwords of the stopped emulator. Snapshots and recordings stay. Asks first."
    )
    parser.add_argument("--yes", action="store_true", help="do not ask")
    add_state(parser)


@one_line
def main(args: argparse.Namespace) -> int:
    state = state_of(args)
    if not state.path.exists():
        print(f"nothing to delete: {state.path} does not exist")
        return 0
    if not state.begun():
        raise StartError(f"nothing was deleted: {state.path} is no state folder")
    try:
        control.find(state)
    except control.NotRunning:
        pass
    else:
        raise StartError("the emulator runs; `eco2 down` first")
    if not args.yes and not confirmed(f"Delete every user, photo and setting in {state.path}?"):
        print("nothing was deleted")
        return 1
    with state.lock():
        remove_cluster(state)
        for path in state.path.iterdir():
            if path.name in _KEPT or path.name == "named":
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    print(f"{state.path} is empty; the next `eco2 up` begins anew")
    return 0
