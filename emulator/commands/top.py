"""`eco2 top`: what takes the most time and what goes wrong, since the system's start."""

import argparse
import shutil
import sys
from datetime import UTC, datetime
from typing import Any

import msgspec

from emulator.commands import dashboard_api
from emulator.commands.common import NOTHING_RUNS, add_state, one_line, state_of
from emulator.process import CalledWrongly
from emulator.timeline_text import duration

EXAMPLES = """\
eco2 top  # statements, functions and errors, by their total time
eco2 top --by p95 -n 5  # the slowest of twenty calls
eco2 top --explain 1  # the plan of the first statement, under its service's role
"""
EXIT_CODES = NOTHING_RUNS
# Letters of a statement that tell it from others, or it has a line of its own.
_LEAST = 40


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Print what took the most time since the dashboard's start: SQL statements, functions, and errors by kind. The "
        "dashboard's page Top shows the same; `eco2 trace` shows the slowest one of each by the id at the end of its line."
    )
    parser.add_argument(
        "--by", choices=("total", "p95", "most", "count"), default="total", help="in this order (default: total)"
    )
    parser.add_argument("-n", "--lines", type=int, default=10, metavar="N", help="so many of each (default: 10)")
    parser.add_argument("--explain", type=int, metavar="N", help="print the plan of the Nth statement instead")
    parser.add_argument("--json", action="store_true", help="for programs")
    add_state(parser)


@one_line
def main(args: argparse.Namespace) -> int:
    state = state_of(args)
    if not 1 <= args.lines <= 500:
        raise CalledWrongly("-n takes 1 to 500")
    limit = args.lines if args.explain is None else 500
    found = dashboard_api.ask(state, "/top", by=args.by, limit=limit)
    if args.explain is not None:
        if not 1 <= args.explain <= len(found["statements"]):
            raise CalledWrongly(f"there are {len(found['statements'])} statements: --explain 1 is the first")
        one = found["statements"][args.explain - 1]
        asked = {"service": one["service"], "statement": one["statement"]}
        found = dashboard_api.ask(state, "/top/explain", json=asked)
        print(found["plan"] if not args.json else msgspec.json.encode(found).decode())
        return 0
    if args.json:
        print(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
        return 0
    width = shutil.get_terminal_size((120, 40)).columns if sys.stdout.isatty() else 160
    for what, title in (("statements", "STATEMENT"), ("functions", "FUNCTION")):
        print(f"{'':>3} {'TIMES':>7} {'TOTAL':>9} {'MEAN':>9} {'95 %':>9} {'MOST':>9}  {'SLOWEST':<8}  {title}")
        for number, one in enumerate(found[what], 1):
            print(*_measured(number, one, what.removesuffix("s"), width), sep="\n")
        print()
    print(f"{'':>3} {'TIMES':>7} {'LAST':>9}  {'TRACE':<8}  ERROR")
    for one in found["errors"]:
        last = datetime.fromtimestamp(one["last"], UTC)
        said = f"{one['error']} in {one['service']} {one['where']}: {one['said']}".removesuffix(": ")
        print(f"{'':>3} {one['count']:>7} {last:%H:%M:%S}   {one['trace'][:8]}  {said}"[:width])
    if not found["errors"]:
        print(f"{'':>3} nothing has gone wrong")
    return 0


def _measured(number: int, one: dict[str, Any], what: str, width: int) -> list[str]:
    """Its numbers and its name: in one line, or in two where not enough of the name would be left to be told by."""
    times = " ".join(f"{duration(one[name]):>9}" for name in ("total", "mean", "p95", "most"))
    numbers = f"{number:>3} {one['count']:>7} {times}  {one['trace'][:8]}"
    wrong = f" ({one['failures']} failed)" if one["failures"] else ""
    name = f"{one['service']}: {one[what]}{wrong}"
    if len(numbers) + _LEAST > width:
        return [numbers, f"    {name}"[:width]]
    return [f"{numbers}  {name}"[:width]]
