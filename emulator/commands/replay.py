"""`eco2 replay`: a recording sent again to a second system, and what differs."""

import argparse
import signal
import sys
from types import FrameType
from typing import NoReturn

from emulator.commands.common import add_state, one_line, state_of
from emulator.process import StartError

EXAMPLES = """\
eco2 replay bug-17  # all of it, with this checkout's code
eco2 replay 3f2a90c1d2e34b5f8a7b6c5d4e3f2a1b  # one request of a recording, after those before it
eco2 replay bug-17 --with ../eco2-fix  # with the code of another checkout
eco2 replay bug-17 --with my-branch  # with that of a branch or commit
eco2 replay 3f2a90c1d2e34b5f8a7b6c5d4e3f2a1b --on before-demo  # one request on a snapshot
"""
EXIT_CODES = {
    0: "no difference",
    1: "something differs, or the replay was not possible: one line on standard error says why",
}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Start a second system beside the first, with ports and a state of its own, on the state and at the time of the "
        "recording; send its requests again in their order, each when what it had behind it is done; and show what differs: "
        "status, headers, body, statements, tasks and objects, by function. Ids, tokens and times that the system makes may "
        "differ, each in one way. Durations are shown and not judged. A request that read while work of the same person was "
        "under way is compared by its status alone, and an event stream by its last event. The second system ends with this "
        "command, however that ends."
    )
    parser.add_argument("wanted", metavar="RECORDING|REQUEST", help="a recording's name, or the id of a request in one")
    parser.add_argument(
        "--on", metavar="SNAPSHOT", default="", help="on this snapshot and not on the recording's own state"
    )
    parser.add_argument(
        "--with", dest="code", metavar="CODE", help="another checkout's folder, or a branch or commit of this one"
    )
    parser.add_argument(
        "--ai", choices=("embedded", "stub"), default="", help="who answers (default: as when it was recorded)"
    )
    parser.add_argument("--json", action="store_true", help="print a JSON object")
    add_state(parser)


@one_line
def main(args: argparse.Namespace) -> int:
    from emulator.recording import replay, report
    from emulator.recording.beside import code_of

    def told(number: int, frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, told)  # else nothing would be put away
    signal.signal(signal.SIGHUP, told)
    state = state_of(args)
    folder, request = replay.find(state, args.wanted)
    with code_of(args.code) as code:
        if not args.json:
            print(
                f"replaying {folder.name} with the code of {args.code or 'this checkout'}", file=sys.stderr, flush=True
            )
        wanted = replay.Wanted(folder, code, request, args.on, args.ai)
        replayed = replay.replay(state, wanted)
    if not replayed.compared:
        raise StartError(f"{args.wanted}: nothing was compared")
    if args.json:
        print(report.as_json(replayed))
    else:
        print("\n".join([*report.table(replayed), *report.differences(replayed), "", report.summary(replayed)]))
    return 1 if replayed.different else 0
