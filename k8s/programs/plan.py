"""`eco2 plan`: what a deploy would change in the cluster, which functions among it, and why."""

import argparse
import sys
from pathlib import Path

import msgspec
from msgspec import Struct

from k8s.programs import objects
from k8s.programs.changes import Plan, compare, text
from k8s.programs.cluster import Cluster, ClusterError, chosen, options
from k8s.programs.environments import UnknownEnvironment, environment
from k8s.programs.images import Image, wanted
from k8s.programs.render import current
from k8s.programs.room import RoomError
from k8s.programs.running import NotARecord, ask_cluster, ask_secrets, read_running, remember
from k8s.programs.templates import Document
from k8s.programs.wanted import missing_secrets, overlay_documents, put_images, put_reads
from runtime.closure import Checkout, ClosureError
from runtime.loader import LoadError
from runtime.services import ServiceError

# What keeps a plan from being made.
REASONS = (NotARecord, ClusterError, ClosureError, LoadError, RoomError, ServiceError, UnknownEnvironment)


class Situation(Struct, frozen=True):
    """What is to be, and what a deploy would change to get there."""

    plan: Plan
    images: list[Image]
    documents: list[Document] = []  # all objects of the environment, with images and digests of what pods read
    lacking: list[str] = []  # Secrets that pods need and the cluster does not have


def against_file(running: Path) -> Situation:
    """Compared with a file: images, settings of service.toml and manifests; no object of a cluster is looked at.

    Raises:
        REASONS: with a line that says why there is none.
    """
    images = wanted(Checkout())
    remember(image.record for image in images)
    return Situation(compare(images, read_running(running)), images)


def against_cluster(env: str, cluster: Cluster) -> Situation:
    """Compared with all that the cluster holds.

    Raises:
        REASONS: with a line that says why there is none.
    """
    images = wanted(Checkout())
    place = environment(env)
    running, secrets = ask_cluster(cluster), ask_secrets(cluster)
    documents = overlay_documents(env)
    put_images(documents, images, place)
    put_reads(documents, secrets)
    changes = objects.compare(cluster, documents)
    remember(image.record for image in images)
    plan = compare(images, running, changes, place.registry)
    return Situation(plan, images, documents, missing_secrets(documents, secrets))


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
    parser.add_argument("--running", type=Path, metavar="FILE", help="what runs, instead of asking the cluster")
    parser.add_argument("--json", action="store_true", help="for programs; can be read back by --running")
    parser.add_argument("--images", action="store_true", help="only the images to build, as a JSON list")


def main(args: argparse.Namespace) -> int:
    try:
        if not current(Checkout()):
            print("the plan is of manifests that are not current: run `eco2 render`", file=sys.stderr)
        found = against_file(args.running) if args.running else against_cluster(args.env, chosen(args))
    except REASONS as error:
        print(f"eco2 plan: {error}", file=sys.stderr)
        return 1
    if args.images:
        entries = [*found.plan.services, *([found.plan.tools] if found.plan.tools else [])]
        names = [entry.service for entry in entries if entry.change in ("new", "changed")]
        print(msgspec.json.encode(names).decode())
        return 0
    print(msgspec.json.encode(found.plan).decode() if args.json else text(found.plan))
    return 0
