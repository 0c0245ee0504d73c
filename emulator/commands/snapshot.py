"""`eco2 snapshot`: the whole state, saved and brought back."""

import argparse
import json
import time
from pathlib import Path
from typing import Any

from emulator import control
from emulator.commands.common import add_state, confirmed, one_line, state_of
from emulator.process import StartError
from emulator.state import archive, restore, snapshots
from emulator.state.folder import State

EXAMPLES = """\
eco2 snapshot save before-demo  # take one, with the system running or stopped
eco2 snapshot restore before-demo  # ask, then go back to it
eco2 snapshot restore before-demo --yes  # do not ask
eco2 snapshot delete before-demo  # remove it
eco2 snapshot list --json  # [{"name", "at", "bytes"}]
eco2 snapshot export before-demo demo.tar.gz  # carry it to a colleague
eco2 snapshot import demo.tar.gz  # who takes it in so
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Save, restore, list and delete snapshots of the whole state: PostgreSQL, broker, objects, journals, keys and clock "
        "as they were at one instant, with the system running or stopped. `export` and `import` (also as `eco2 export FILE` and "
        "`eco2 import FILE`) carry one to a colleague: the file holds every user's data and the signing keys."
    )
    # Not "name": that is the emulator's, of --name.
    actions = parser.add_subparsers(dest="action", metavar="save|restore|list|delete|export|import", required=True)
    for action, help_text in (("save", "take one"), ("restore", "go back to one"), ("delete", "remove one")):
        one = actions.add_parser(action, help=help_text)
        one.add_argument("snapshot", metavar="NAME", help="the snapshot's name")
        if action == "restore":
            one.add_argument("--yes", action="store_true", help="do not ask")
        add_state(one)
    listing = actions.add_parser("list", help="show all")
    listing.add_argument("--json", action="store_true", help="print a JSON list")
    add_state(listing)
    exporting = actions.add_parser("export", help="write one to a file")
    exporting.add_argument("snapshot", metavar="NAME", help="the snapshot's name")
    exporting.add_argument("file", type=Path, metavar="FILE", help="where to, such as demo.tar.gz")
    add_state(exporting)
    importing = actions.add_parser("import", help="read one from a file")
    importing.add_argument("file", type=Path, metavar="FILE", help="what `export` wrote")
    importing.add_argument("snapshot", metavar="NAME", nargs="?", help="default: the file's name")
    add_state(importing)


@one_line
def main(args: argparse.Namespace) -> int:
    state = state_of(args)
    if args.action == "list":
        found = snapshots.every(state)
        print(json.dumps(found, indent=2) if args.json else "\n".join(map(_line, found)) or "there is none yet")
    elif args.action == "delete":
        snapshots.delete(state, args.snapshot)
        print(f"{args.snapshot} is deleted")
    elif args.action == "export":
        return write(state, args.snapshot, args.file)
    elif args.action == "import":
        name = args.snapshot or args.file.name.partition(".")[0]
        if archive.kind_of(args.file) == archive.RECORDING:
            return _recording(state, args.file, name)
        about = archive.take_in(state, args.file, name)
        print(f"{_line(about)}\n`eco2 snapshot restore {about['name']}` puts it in the place of the present state")
    elif args.action == "restore" and not _sure(state, args):
        print("nothing was restored")
        return 1
    else:
        started = time.monotonic()
        answer = ask_or_do(state, args.action, snapshots.check_name(args.snapshot))
        print(f"{answer} in {time.monotonic() - started:.1f} s")
    return 0


def _recording(state: State, file: Path, name: str) -> int:
    from emulator.recording import exporting

    about = exporting.take_in(state, file, name)
    print(f"{name}: a recording of {about['requests']} requests\n`eco2 replay {name}` sends it again")
    return 0


def _sure(state: State, args: argparse.Namespace) -> bool:
    snapshots.folder_of(state, args.snapshot)
    question = f"Put {args.snapshot} in the place of every user, photo and setting in {state.path}?"
    return args.yes or confirmed(question)


def write(state: State, name: str, file: Path) -> int:
    """Export a snapshot and say so."""
    archive.export(state, name, file)
    print(f"{file}: {file.stat().st_size / 1e6:.1f} MB, with every user's data and the signing keys")
    return 0


def ask_or_do(state: State, action: str, name: str) -> str:
    """Save or restore, by the running emulator or, where none runs, here; what is to be said of it."""
    try:
        answer = control.ask(state, f"snapshot-{action}", name=name)
        return str(answer["said"])
    except control.NotRunning:
        pass
    if not (state.path / "postgres").exists():
        raise StartError(f"{state.path} has no state yet; `eco2 up` makes it")
    with state.lock():
        if action == "save":
            fresh = snapshots.begin(state, name)
            snapshots.copy(state, fresh)
            return f"{name} is saved: {snapshots.finish(state, fresh, name)['bytes'] / 1e6:.1f} MB"
        restore.stage(state, name)
        restore.swap(state)
        return (
            f"{name} is restored, and kept once `eco2 up` has started on it; the state before comes back if it does not"
        )


def _line(about: dict[str, Any]) -> str:
    if about.get("damaged"):
        return f"{about['name']:<24} damaged: it can't be read"
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(about["at"]))
    return f"{about['name']:<24} {when}  {about['bytes'] / 1e6:7.1f} MB"
