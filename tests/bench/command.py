"""`eco2 bench`: the benchmarks by name; `eco2 bench ai` replays a day's traffic at the local stub."""

import argparse

from tests.bench import __main__ as bench

# What people ask for by another name than its file's.
ALIASES = {"ai": ["ai_day"]}

EXAMPLES = """\
eco2 bench  # all budgets
eco2 bench host pickup  # these two
eco2 bench ai  # what a day of photos and questions costs
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Measure the budgets, each beside the raw thing in one run. `ai` replays a day of photos and questions at the "
        "local OpenAI-compatible stub, and prints what it costs and how long it takes, with and without the cache."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="such as host, journal or ai; all without one")


def main(args: argparse.Namespace) -> int:
    names = [name for asked in args.names for name in ALIASES.get(asked, [asked])]
    return bench.main(names)
