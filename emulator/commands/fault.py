"""`eco2 fault`: bad days on demand."""

import argparse
import json
import re

from emulator import control
from emulator.commands.common import NOTHING_RUNS, add_state, duration, one_line, state_of
from emulator.process import CalledWrongly

KINDS = ("cut", "hang", "latency", "throttle", "reset", "swallow")
KINDS_OF = """
  cut                 connections are reset, new ones too
  hang                nothing moves, connections stay open
  latency 300ms±100   each answer comes so much later
  throttle 50KB/s     at most so many bytes a second each way
  reset 5%            a request resets its connection by chance (see `eco2 up --seed`)
  swallow 5%          the request arrives, its answer is lost"""
_NUMBER = r"(\d+(?:\.\d+)?)"
_BYTES = {"": 1, "k": 1000, "m": 1_000_000}

EXAMPLES = """\
eco2 fault add postgres cut --for 10m --service api-waste  # one service loses its database
eco2 fault add s3 latency 300ms±100  # each answer comes later
eco2 fault add redis reset 5%  # by chance
eco2 fault list --json  # those that hold now
eco2 fault clear f2  # end one; all without an id
"""
EXIT_CODES = NOTHING_RUNS


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Cut, slow or break the connections between parts of the running system, and heal them again. The kinds are:\n"
        f"{KINDS_OF}"
    )
    actions = parser.add_subparsers(dest="action", metavar="add|list|clear", required=True)
    adding = actions.add_parser("add", help="begin a fault")
    adding.add_argument(
        "target", help="postgres, redis, redis-broker, redis-cache, s3, a service such as api-auth, or '*'"
    )
    adding.add_argument("kind", choices=KINDS, metavar="kind", help=f"{', '.join(KINDS)}: see `eco2 fault --help`")
    adding.add_argument("amount", nargs="?", default="", help="300ms±100, 50KB/s or 5%%, by kind")
    adding.add_argument(
        "--for", dest="seconds", type=duration, metavar="TIME", help="such as 10s, 5m; until cleared without it"
    )
    adding.add_argument(
        "--service", metavar="PART", help="only connections from this part, such as api-waste or gateway"
    )
    add_state(adding)
    listing = actions.add_parser("list", help="show the faults that hold now")
    listing.add_argument("--json", action="store_true", help="print a JSON list")
    add_state(listing)
    clearing = actions.add_parser("clear", help="end one fault, or all")
    clearing.add_argument("id", nargs="?", help="as `eco2 fault list` shows it; all without it")
    add_state(clearing)


@one_line
def main(args: argparse.Namespace) -> int:
    state = state_of(args)
    if args.action == "add":
        fault = {"target": args.target, "kind": args.kind, "source": args.service, **amount(args.kind, args.amount)}
        answer = control.ask(state, "fault-add", fault=fault, seconds=args.seconds)
    elif args.action == "clear":
        answer = control.ask(state, "fault-clear", id=args.id)
    else:
        answer = control.ask(state, "fault-list")
        if args.json:
            print(json.dumps(answer["faults"], indent=2, ensure_ascii=False))
            return 0
    for line in answer["faults"] or ["no faults"]:
        print(line)
    return 0


def amount(kind: str, text: str) -> dict[str, float]:
    """The fields of emulator.network.links.Fault that an amount means. CalledWrongly with an example when it cannot be read."""
    if kind in ("cut", "hang"):
        if text:
            raise CalledWrongly(f"{kind} takes no amount")
        return {}
    if kind == "latency" and (found := re.fullmatch(rf"{_NUMBER}(ms|s)(?:(?:±|\+-){_NUMBER}(ms|s)?)?", text)):
        units = {"ms": 0.001, "s": 1.0}
        return {
            "seconds": float(found[1]) * units[found[2]],
            "spread": float(found[3] or 0) * units[found[4] or found[2]],
        }
    if kind == "throttle" and (found := re.fullmatch(rf"{_NUMBER}([kKmM]?)B?(?:/s)?", text)) and float(found[1]):
        return {"rate": float(found[1]) * _BYTES[found[2].lower()]}
    if kind in ("reset", "swallow") and (found := re.fullmatch(rf"{_NUMBER}%", text)) and float(found[1]) <= 100:
        return {"chance": float(found[1]) / 100}
    example = {"latency": "300ms±100", "throttle": "50KB/s"}.get(kind, "5%")
    raise CalledWrongly(f"{kind} needs an amount such as {example}, not {text!r}")
