"""`eco2 logs`: what the parts have said, merged by time."""

import argparse
import sys
import time
from datetime import UTC, datetime

import msgspec

from emulator import control, logbook
from emulator.commands.common import NOTHING_RUNS, add_state, duration, one_line, state_of
from emulator.process import CalledWrongly
from emulator.screen import Terminal
from runtime.services import suggestion

EXAMPLES = """\
eco2 logs api-waste  # the last 40 lines of one part
eco2 logs -f  # everybody's, until Ctrl-C
eco2 logs --since 10m --level warning  # what went wrong lately, in the order of time
eco2 logs --search ID worker-ai api-waste  # the lines of two parts that name a request, a trace, a word
eco2 logs postgres -n 200  # more of them
"""
EXIT_CODES = {130: "ended with Ctrl-C, as -f always is"} | NOTHING_RUNS
_LOOK = 0.2


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Print the last lines of the parts' logs, merged by time; with -f what comes from now on too. A line that names a "
        "trace leads to `eco2 trace ID`."
    )
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help="such as api-waste, worker-ai/2, postgres; default: all"
    )
    parser.add_argument("-f", "--follow", action="store_true", help="go on until Ctrl-C")
    parser.add_argument(
        "-n", "--lines", type=_count, metavar="N", help="so many last lines in all (default: 40; with --since: 5000)"
    )
    parser.add_argument("--since", type=duration, metavar="TIME", help="what was said within this time: 30s, 10m, 2h")
    parser.add_argument(
        "--level", choices=logbook.LEVELS, default="debug", help="this level and worse ones (default: debug)"
    )
    parser.add_argument(
        "--search", default="", metavar="TEXT", help="lines with this text: words, a request's id, a trace's"
    )
    parser.add_argument("--json", action="store_true", help="a JSON object a line, for programs")
    add_state(parser)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) > logbook.MOST:
        raise argparse.ArgumentTypeError(f"{text} is no number of lines: 0 to {logbook.MOST}")
    return int(text)


@one_line
def main(args: argparse.Namespace) -> int:
    state = state_of(args)
    folder = state.path / "logs"
    if args.follow or not folder.exists():
        control.find(state)
    there = logbook.parts(folder)
    for part in args.parts:
        if not logbook.path_of(folder, part).exists():
            hint = suggestion(part, there) or f"; there are {', '.join(there) or 'none yet'}"
            raise CalledWrongly(f"there is no log of {part}{hint}")
    count = args.lines if args.lines is not None else logbook.MOST if args.since else 40
    since = time.time() - args.since if args.since else 0.0
    wanted = logbook.Wanted(args.parts, since, args.level, args.search, count)
    follower = logbook.Follower(folder, wanted)
    shown = _Shown(len(args.parts) == 1, args.json)
    for line in follower.before():
        shown.line(line)
    while args.follow:  # until Ctrl-C, which `one_line` makes the exit code 130
        sys.stdout.flush()
        time.sleep(_LOOK)
        for line in follower.look():
            shown.line(line)
    return 0


class _Shown:
    def __init__(self, one_part: bool, as_json: bool) -> None:
        self._terminal = Terminal()
        self._one, self._json = one_part, as_json
        self._today = datetime.now(UTC).strftime("%Y-%m-%d ")

    def line(self, line: logbook.Line) -> None:
        if self._json:
            print(msgspec.json.encode(line).decode())
            return
        ids = f"  [{line.trace or line.request}]" if line.trace or line.request else ""
        logger = f"{line.logger}: " if line.logger else ""
        head = f"{line.time.removeprefix(self._today):12} {line.level:7} " if line.time else f"{'':20} "
        for text in (f"{head}{logger}{line.text}{ids}", *line.more):
            if self._one:
                print(text)
            else:
                self._terminal.line(line.part, text)
