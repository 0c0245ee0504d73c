"""`eco2 work`: run the queue functions of a service in this process."""

import argparse
import sys

from runtime.commands.around import take
from runtime.services import ServiceError

EXAMPLES = """\
eco2 work storage  # the photo worker
eco2 work waste  # what api-waste runs from its queue
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Run the queue functions of a worker, or of an API service apart from its host, until SIGTERM.\n"
        "Settings come from the environment, or from the emulator that runs in this checkout."
    )
    parser.add_argument("service", metavar="SERVICE", help="such as storage or ai")


def main(args: argparse.Namespace) -> int:
    from runtime.delivery.worker import main as work

    try:
        take(args.service)
    except ServiceError as error:
        print(f"eco2 work: {error}", file=sys.stderr)
        return 2
    return work([args.service])
