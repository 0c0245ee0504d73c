"""`eco2 serve`: serve the HTTP functions of services, or single functions, in this process."""

import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Serve HTTP functions in this process, with the service's relay and queue functions beside them.\n"
        "Settings come from the environment: `eco2 exec -- eco2 serve auth` takes the emulator's."
    )
    parser.add_argument("targets", nargs="+", metavar="SERVICE[/FUNCTION]", help="such as auth or auth/login")


def main(args: argparse.Namespace) -> int:
    from runtime.host import run

    return run(args.targets)
