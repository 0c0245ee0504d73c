"""`eco2 work`: run the queue functions of a service in this process."""

import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Run the queue functions of a worker, or of an API service apart from its host, until SIGTERM.\n"
        "Settings come from the environment."
    )
    parser.add_argument("service", metavar="SERVICE", help="such as storage or ai")


def main(args: argparse.Namespace) -> int:
    from runtime.worker import main as work

    return work([args.service])
