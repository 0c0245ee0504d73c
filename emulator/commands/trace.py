"""`eco2 trace`: what happened to one request or task, from the gateway to the last result, and why it failed."""

import argparse
import shutil
import sys

import msgspec

from emulator.commands import dashboard_api
from emulator.commands.common import NOTHING_RUNS, add_state, one_line, state_of
from emulator.process import StartError
from emulator.screen import coloured
from emulator.state.folder import State
from emulator.timeline import Timeline
from emulator.timeline_text import lines

EXAMPLES = """\
eco2 trace ID  # a request's id: X-Request-Id of its answer, `instance` of a problem
eco2 trace ID  # a task's id, a trace's, or the first six characters of one
eco2 trace  # the latest request that failed
eco2 trace ID --json  # for programs
"""
EXIT_CODES = {1: "no trace is kept of it"} | NOTHING_RUNS


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Show the timeline of one request or task over all processes: statements, what was waited for, attempts, log lines, "
        "exceptions with their source, bodies. Without an id: of the latest request that failed. The dashboard shows the "
        "same. Traces are kept while the system runs: the latest two thousand."
    )
    parser.add_argument(
        "id", nargs="?", metavar="ID", help="a request's, trace's or task's id, or its beginning or end"
    )
    parser.add_argument("--json", action="store_true", help="for programs")
    add_state(parser)


@one_line
def main(args: argparse.Namespace) -> int:
    state = state_of(args)
    id_ = (args.id or "").strip("…") or _latest_failure(state)  # lists show an id as `…336cba36`
    timeline = msgspec.convert(dashboard_api.ask(state, f"/traces/{id_}"), Timeline)
    if not timeline.rows:
        raise StartError(
            f"no trace is kept of {id_}: the latest 2,000 are, since the last start; `eco2 tasks show {id_}` knows a task's rows"
        )
    if args.json:
        print(msgspec.json.format(msgspec.json.encode(timeline), indent=2).decode())
        return 0
    width = shutil.get_terminal_size((120, 40)).columns if sys.stdout.isatty() else 160
    for line in lines(timeline, width, colour=coloured(sys.stdout)):
        print(line)
    return 0


def _latest_failure(state: State) -> str:
    for request in dashboard_api.ask(state, "/requests", q="failed", limit=1):
        return str(request["trace"])
    raise StartError("no request has failed since the last start; give the id of one")
