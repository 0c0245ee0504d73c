"""`eco2 plan`: which services are to be rolled out, which of their functions changed, and why."""

import argparse
import sys
from pathlib import Path

import msgspec

from k8s.programs.changes import Plan, compare, text
from k8s.programs.cluster import Cluster, ClusterError
from k8s.programs.environments import UnknownEnvironment, environment
from k8s.programs.images import Image, wanted
from k8s.programs.running import NotARecord, ask_cluster, read_running, remember
from runtime.closure import Checkout, ClosureError
from runtime.loader import LoadError
from runtime.services import ServiceError

# What keeps a plan from being made.
REASONS = (NotARecord, ClusterError, ClosureError, LoadError, ServiceError, UnknownEnvironment)


def make(env: str, running: Path | None, context: str | None = None) -> tuple[Plan, list[Image]]:
    """The plan for this checkout.

    Raises:
        REASONS: with a line that says why there is none.
    """
    images = wanted(Checkout())
    records = read_running(running) if running else ask_cluster(Cluster(context or environment(env).context or None))
    remember(image.record for image in images)
    return compare(images, records), images


EXAMPLES = """\
eco2 plan  # compared with what the cluster runs
eco2 plan --json > running.json  # for programs
eco2 plan --running running.json  # compared with that file
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "What a deploy would roll out, and why: each function's chain from the changed input to the image."
    )
    options(parser)
    parser.add_argument("--json", action="store_true", help="for programs; can be read back by --running")


def options(parser: argparse.ArgumentParser) -> None:
    """The options that every command with a plan has."""
    parser.add_argument("--env", default="prod", help="an environment of k8s/environments.toml (default: prod)")
    parser.add_argument("--context", help="kubectl's context (default: the environment's, else the current one)")
    parser.add_argument("--running", type=Path, metavar="FILE", help="what runs, instead of asking the cluster")


def main(args: argparse.Namespace) -> int:
    try:
        plan, _ = make(args.env, args.running, args.context)
    except REASONS as error:
        print(f"eco2 plan: {error}", file=sys.stderr)
        return 1
    print(msgspec.json.encode(plan).decode() if args.json else text(plan))
    return 0
