"""What the commands share: finding the state folder, and errors as one line."""

import argparse
import os
import re
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path

from emulator.process import CalledWrongly, StartError
from emulator.state.folder import State, default_state

# What `one_line` returns where nothing runs, for the manual pages.
NOTHING_RUNS = {3: "nothing runs: `eco2 up` first"}
LONGEST = 366 * 86400.0
Main = Callable[[argparse.Namespace], int]


def add_state(parser: argparse.ArgumentParser) -> None:
    """--state and --name, which say which emulator is meant."""
    parser.add_argument(
        "--state", type=Path, metavar="DIR", help="the state folder (default: .eco2 in the checkout, or ECO2_STATE)"
    )
    parser.add_argument("--name", metavar="NAME", help="the emulator of that name beside the default one")


def state_of(args: argparse.Namespace) -> State:
    if args.name is not None and not args.name.replace("-", "").replace("_", "").isalnum():
        raise CalledWrongly(f"{args.name!r} is no name: letters, digits, - and _")
    return State(args.state or default_state(os.environ, args.name))


def counts(words: list[str]) -> dict[str, int]:
    """`api-waste=3` and `worker-ai=2,api-auth=1` as numbers by service. CalledWrongly for anything else."""
    found = {}
    for word in ",".join(words).split(","):
        name, _, number = word.partition("=")
        if not name or not number.isdecimal():
            raise CalledWrongly(f"{word!r} does not say how many of what: worker-ai=3")
        found[name] = int(number)
    return found


def confirmed(question: str) -> bool:
    """Ask at the terminal; no answer is a no."""
    try:
        answer = input(f"{question} [y/N] ")
    except EOFError:
        return False
    return answer.strip().lower() in ("y", "yes")


def own_options(args: argparse.Namespace) -> None:
    """Take --state and --name out of the words for another program, where they come after its own."""
    ours = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    add_state(ours)
    _, args.arguments = ours.parse_known_args(args.arguments, args)


def duration(text: str) -> float:
    """`30s`, `5m`, `2h`, `1d` or plain seconds, in seconds; a year at most."""
    if text.startswith("-"):
        raise argparse.ArgumentTypeError(f"{text} is negative: time goes forward only")
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no time; try 30s, 5m or 2h")
    seconds = float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}[found[2]]
    if seconds > LONGEST:
        raise argparse.ArgumentTypeError(f"{text} is more than a year")
    return seconds


def port(text: str) -> int:
    """A port that a program can be asked to listen on."""
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f"{text} is no port: 1 to 65535")
    return int(text)


def one_line(main: Main) -> Main:
    """Print a StartError as one line and return 1; 2 where the call itself was wrong, 3 where nothing runs."""

    @wraps(main)
    def guarded(args: argparse.Namespace) -> int:
        try:
            return main(args)
        except StartError as error:
            print(f"eco2: {error}", file=sys.stderr)
            return error.exit_code
        except KeyboardInterrupt:
            return 130

    return guarded
