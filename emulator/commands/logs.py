"""`eco2 logs`: what the parts have said."""

import argparse
import asyncio
import contextlib
import difflib
import sys
from pathlib import Path

from emulator import control
from emulator.commands.common import NOTHING_RUNS, add_state, one_line, state_of
from emulator.process import CalledWrongly
from emulator.screen import Terminal

EXAMPLES = """\
eco2 logs api-waste  # the last 40 lines of one part
eco2 logs -f  # everybody's, until Ctrl-C
eco2 logs postgres -n 200  # more of them
"""
EXIT_CODES = NOTHING_RUNS


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = "Print the last lines of a part's log, or of all logs; with -f what comes from now on too."
    parser.add_argument("part", nargs="?", metavar="PART", help="such as api-waste, worker-ai, postgres, gateway, eco2")
    parser.add_argument("-f", "--follow", action="store_true", help="go on until Ctrl-C")
    parser.add_argument(
        "-n", "--lines", type=int, default=40, metavar="N", help="so many last lines of each (default: 40)"
    )
    add_state(parser)


@one_line
def main(args: argparse.Namespace) -> int:
    state = state_of(args)
    folder = state.path / "logs"
    if args.follow or (args.part is None and not folder.exists()):
        control.find(state)
    logs = {log.stem: log for log in sorted(folder.glob("*.log"))}
    if args.part is not None and args.part not in logs:
        near = difflib.get_close_matches(args.part, logs, 1)
        hint = f": did you mean {near[0]}?" if near else f"; there are {', '.join(logs) or 'none yet'}"
        raise CalledWrongly(f"there is no log of {args.part}{hint}")
    chosen = [logs[args.part]] if args.part else list(logs.values())
    terminal = Terminal()
    starts = {}
    for log in chosen:
        lines, starts[log] = _last(log, args.lines)
        for line in lines:
            if args.part:
                print(line)
            else:
                terminal.line(log.stem, line)
    sys.stdout.flush()
    if args.follow:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(terminal.stream(chosen, lambda log: starts[log]))
    return 0


def _last(log: Path, count: int) -> tuple[list[str], int]:
    """The last whole lines, and the byte after them."""
    with log.open("rb") as file:
        end = file.seek(0, 2)
        file.seek(max(0, end - 400 * max(count, 1) - 4096))
        content = file.read()
    lines = content.decode(errors="replace").splitlines()
    return lines[-count:] if count > 0 else [], end
