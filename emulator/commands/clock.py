"""`eco2 clock`: the system's time, moved at will."""

import argparse
from datetime import UTC, datetime, timedelta

from emulator import control
from emulator.commands.common import NOTHING_RUNS, add_state, duration, one_line, state_of
from emulator.process import CalledWrongly
from shared import clock

EXAMPLES = """\
eco2 clock  # what time the system thinks it is
eco2 clock advance 15m  # access tokens end, schedules come due
"""
EXIT_CODES = NOTHING_RUNS


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Show or move the system's own clock. Moved on, tokens expire, schedules, retries and syncers come due, "
        "in every process at once and without waiting. It never goes back, except by `eco2 reset`."
    )
    parser.add_argument("action", nargs="?", choices=["show", "advance"], default="show", help="default: show")
    parser.add_argument("by", nargs="?", type=duration, metavar="TIME", help="such as 30s, 5m, 2h, 1d")
    add_state(parser)


@one_line
def main(args: argparse.Namespace) -> int:
    state = state_of(args)
    control.find(state)
    file = state.path / "clock"
    clock.use_file(str(file))
    offset = clock.offset()
    if args.action == "advance":
        if args.by is None:
            raise CalledWrongly("by how much? eco2 clock advance 5m")
        offset += args.by
        clock.write_offset(str(file), offset)
    now = datetime.now(UTC) + timedelta(seconds=offset)
    ahead = f", {timedelta(seconds=round(offset))} ahead of this machine" if offset else ", as this machine"
    print(f"{now:%Y-%m-%d %H:%M:%S} UTC{ahead}")
    return 0
