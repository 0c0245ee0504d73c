"""`eco2 sync`: copy a worker's journal to PostgreSQL."""

import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = "Copy a worker's journal to PostgreSQL every few minutes, or once.\nSettings: the environment."
    parser.add_argument("service", metavar="ai|storage", help="whose journal (JOURNAL_PATH)")
    parser.add_argument("--once", action="store_true", help="one cycle, then end")


def main(args: argparse.Namespace) -> int:
    from runtime.syncer import main as sync

    return sync([args.service, *(["--once"] if args.once else [])])
