"""`eco2 record`: requests with the state they met, kept to be sent again."""

import argparse
import json
import shutil
import sys
import time
from typing import Any

from emulator import control
from emulator.commands.common import NOTHING_RUNS, add_state, one_line, state_of
from emulator.process import StartError
from emulator.recording import folder as recordings
from emulator.recording import form
from emulator.recording.shown import shown
from emulator.state.folder import State

EXAMPLES = """\
eco2 record on bug-17  # from now on, with the state of this moment
eco2 record off  # end it
eco2 record list  # all of them
eco2 record show bug-17  # its requests, with their ids
eco2 record delete bug-17  # remove it
"""
EXIT_CODES = NOTHING_RUNS


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Record every request and upload with its body, what was answered, its statements, tasks and objects, and the state at "
        "the beginning, which is a snapshot. A recording lies in the state folder, readable by its owner alone, like the signing "
        "keys beside it: it holds tokens and passwords as they were sent, because a replay has to log in. What is printed "
        "masks them, and `eco2 export --recording` replaces them. It ends by `off`, with the emulator, or at 1 GB."
    )
    # Not "name": that is the emulator's, of --name.
    actions = parser.add_subparsers(dest="action", metavar="on|off|list|show|delete", required=True)
    on = actions.add_parser("on", help="begin")
    on.add_argument("recording", metavar="NAME", nargs="?", help="default: the moment, such as 20261129-1012")
    add_state(on)
    add_state(actions.add_parser("off", help="end the one that is open"))
    listing = actions.add_parser("list", help="show all")
    listing.add_argument("--json", action="store_true", help="print a JSON list")
    add_state(listing)
    for action, help_text in (("show", "list the requests of one"), ("delete", "remove one")):
        one = actions.add_parser(action, help=help_text)
        one.add_argument("recording", metavar="NAME", help="the recording's name")
        if action == "show":
            one.add_argument("--json", action="store_true", help="print a JSON list, with bodies")
        add_state(one)


@one_line
def main(args: argparse.Namespace) -> int:
    state = state_of(args)
    if args.action == "on":
        name = args.recording or time.strftime("%Y%m%d-%H%M%S")
        print(control.ask(state, "record-on", name=recordings.check_name(name))["said"])
    elif args.action == "off":
        print(control.ask(state, "record-off")["said"])
    elif args.action == "delete":
        recordings.delete(state, args.recording)
        print(f"{args.recording} is deleted")
    elif args.action == "show":
        _show(state, args.recording, args.json)
    else:
        found = recordings.every(state)
        print(json.dumps(found, indent=2) if args.json else "\n".join(map(_line, found)) or "there is none yet")
    return 0


def _show(state: State, name: str, as_json: bool) -> None:
    folder = recordings.find(state, name)
    exchanges = form.read_exchanges(folder)
    if as_json:
        print(json.dumps([shown(folder, exchange) for exchange in exchanges], indent=2, ensure_ascii=False))
        return
    if not exchanges:
        raise StartError(f"{name} has no requests yet")
    # In a narrow terminal the id's beginning, which `eco2 replay` takes too, and what fits of the path.
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    for exchange in exchanges:
        when = time.strftime("%H:%M:%S", time.localtime(exchange.at))
        one = shown(folder, exchange)
        head = f"{when}  {one['status']}  {one['seconds'] * 1000:>7.0f} ms  {exchange.method:<6} "
        path, id_ = one["path"], exchange.id
        if width and len(head) + len(path) + 2 + len(id_) > width:
            id_, room = id_[:8], max(width - len(head) - 10, 8)
            path = path if len(path) <= room else f"{path[: room - 1]}…"
        print(f"{head}{path}  {id_}")


def _line(about: dict[str, Any]) -> str:
    if about.get("damaged"):
        return f"{about['name']:<24} damaged: it can't be read"
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(about["at"]))
    if about["ended"] == "open":
        return f"{about['name']:<24} {when}  open"
    ended = {"killed": "  ended with a killed emulator", "full": "  full"}.get(about["ended"], "")
    return f"{about['name']:<24} {when}  {about['requests']:>5} requests  {about['bytes'] / 1e6:>7.1f} MB{ended}"
