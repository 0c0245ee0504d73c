"""`eco2 export FILE`: the whole state in one file, for a colleague."""

import argparse
import os
import shutil
from pathlib import Path

from emulator.commands.common import add_state, one_line, state_of
from emulator.commands.snapshot import ask_or_do, write
from emulator.state import snapshots
from emulator.state.folder import State

EXAMPLES = """\
eco2 export demo.tar.gz  # as it is now
eco2 export --snapshot before-demo demo.tar.gz  # as it was then
eco2 export --recording bug-17 bug-17.tar.gz  # a recording, with personal details replaced
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Write the state of this moment, or a snapshot, to one file. `eco2 import FILE` reads it elsewhere as a snapshot. "
        "The file holds every user's data and the signing keys.\n\n"
        "A recording is exported without personal details: its requests and the state at its beginning are replaced by the rule "
        "of emulator/recording/personal.toml, and then sent again by a replay, whose answers are what the file holds. The rule "
        "is printed with what it was applied to. Of a photograph all but the picture goes: who can be seen in it, is seen."
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="such as demo.tar.gz")
    parser.add_argument("--snapshot", metavar="SNAPSHOT", help="this one, and not the state of this moment")
    parser.add_argument("--recording", metavar="RECORDING", help="a recording, with personal details replaced")
    add_state(parser)


@one_line
def main(args: argparse.Namespace) -> int:
    state = state_of(args)
    if args.recording:
        return _recording(state, args.recording, args.file)
    if args.snapshot:
        return write(state, args.snapshot, args.file)
    name = f"export-{os.getpid()}"
    try:
        ask_or_do(state, "save", name)
        return write(state, name, args.file)
    finally:
        shutil.rmtree(state.path / "snapshots" / snapshots.check_name(name), ignore_errors=True)


def _recording(state: State, name: str, file: Path) -> int:
    from emulator.recording import exporting
    from emulator.recording.replacing import rule

    exported = exporting.export(state, name, file)
    shown = rule()["shown"]
    lines = [(where, times, shown.get(kind, kind)) for (where, kind), times in sorted(exported.counts.items())]
    width = max((len(where) for where, _, _ in lines), default=0)
    print(f"{'where':<{width}}  times  what came in its place")
    for where, times, by in lines:
        print(f"{where:<{width}}  {times:>5}  {by}")
    print(f"left out: {', '.join(rule()['whole']['dropped'])}, the broker, the cache, the journals, the keys")
    for _, what, before, now in exported.changed:
        print(f"{what} answers {now} and no more {before}: its replaced details lead elsewhere")
    print(f"{file}: {exported.requests} requests, {file.stat().st_size / 1e6:.1f} MB")
    return 0
