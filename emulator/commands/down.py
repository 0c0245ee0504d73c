"""`eco2 down`: stop a running emulator."""

import argparse
import time

from emulator import control
from emulator.commands.common import add_state, one_line, state_of
from emulator.process import StartError, alive

EXAMPLES = """\
eco2 down  # stop the system of this checkout
eco2 down --name second  # stop the one that was started under this name
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = "Stop the emulator, every part in order. State is kept. It is no error when none runs."
    add_state(parser)


@one_line
def main(args: argparse.Namespace) -> int:
    state = state_of(args)
    deadline = time.monotonic() + 60
    pid = None
    while pid is None or alive(pid):
        if time.monotonic() > deadline:
            raise StartError(f"the emulator (pid {pid or state.holder()}) has not stopped within 60 s")
        try:
            pid = pid or control.ask(state, "stop")["pid"]
        except control.Between:
            pass  # one that is just starting is stopped when it can be asked
        except control.NotRunning as error:
            print(f"nothing to stop: {error}")
            return 0
        time.sleep(0.02)
    print("stopped")
    return 0
