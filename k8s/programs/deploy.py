"""Rolls out what the plan names, service by service, and nothing else.

For each: the migrations that add, the new pods, the wait until they are ready, then the migrations that take away. A rollout that
fails is rolled back, and the ones after it are not begun; the next deploy finds what is missing by itself.
"""

import argparse
import contextlib
import os
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import yaml

from k8s.programs import plan
from k8s.programs.changes import Plan, ServiceChange, text
from k8s.programs.cluster import Cluster, ClusterError, kustomize
from k8s.programs.environments import Environment, environment
from k8s.programs.images import TOOLS, Image, UnknownImage, find_image
from k8s.programs.jobs import migration_job, prepare_job
from k8s.programs.manifests import NAMESPACE, containers, document, labels, pod_of
from k8s.programs.render import stale
from k8s.programs.room import RoomError
from k8s.programs.templates import Document
from runtime.closure import Checkout
from runtime.services import ROOT
from shared import clock

LOCK = "deploy-lock"
# Longer than `progressDeadlineSeconds`, so that Kubernetes' own word comes first.
PATIENCE = "300s"


class DeployError(Exception):
    """A rollout failed, or can't begin: the message says which, and what was done about it."""


def wait(cluster: Cluster, kind: str, name: str) -> None:
    """Wait until a Deployment's or StatefulSet's pods are all new and ready."""
    cluster.run("rollout", "status", f"{kind}/{name}", f"--timeout={PATIENCE}", "--namespace", NAMESPACE)


def run_job(cluster: Cluster, job: Document) -> None:
    """Run a job to its end.

    Raises:
        ClusterError: it did not end well in time; the message has the last it said.
    """
    name, space = job["metadata"]["name"], job["metadata"]["namespace"]
    where = ("--namespace", space)
    # One of that name that failed before would fail for ever, and one of other manifests can't be changed in place.
    cluster.delete("job", name, space)
    cluster.apply([job])
    try:
        cluster.run("wait", "--for=condition=complete", f"--timeout={PATIENCE}", *where, f"job/{name}")
    except ClusterError as error:
        said = ""
        with contextlib.suppress(ClusterError):
            said = cluster.run("logs", f"job/{name}", "--tail=3", *where).strip()
        raise ClusterError(f"{error}" + (f"\n{said}" if said else "")) from None


@contextlib.contextmanager
def alone(cluster: Cluster) -> Iterator[None]:
    """Keep other deploys out meanwhile: two would plan against what each is about to change.

    Raises:
        DeployError: another is under way.
    """
    holder = f"{socket.gethostname()}, process {os.getpid()}, since {clock.now():%Y-%m-%d %H:%M} UTC"
    lock = document("ConfigMap", LOCK, "v1", metadata={"labels": labels(LOCK)}, data={"holder": holder})
    try:
        cluster.create(lock)
    except ClusterError:
        held = cluster.get("configmap", LOCK, NAMESPACE)
        if not held:
            raise
        raise DeployError(
            f"another deploy is under way ({held['data']['holder']});"
            f" if it is long dead: kubectl -n eco2 delete configmap {LOCK}"
        ) from None
    try:
        yield
    finally:
        cluster.delete("configmap", LOCK, NAMESPACE)


def overlay_documents(env: str, root: Path = ROOT) -> list[Document]:
    """All objects of an environment, as kustomize puts them together."""
    found = kustomize(str(root / "k8s/overlays" / env))
    return [one for one in yaml.safe_load_all(found) if one]


def of_service(documents: list[Document], name: str) -> list[Document]:
    """The objects of one service."""
    return [d for d in documents if d["metadata"].get("labels", {}).get("eco2/service") == name]


def record_document(image: Image) -> Document:
    """What an image was made from, for the next plan to compare with."""
    text = msgspec.json.encode(image.record).decode()
    marks = {**labels(f"record-{image.name}"), "eco2/record": image.name}
    return document("ConfigMap", f"record-{image.name}", "v1", metadata={"labels": marks}, data={"record.json": text})


class Rollout:
    """One run of `eco2 deploy`: where it goes, and what is to be there."""

    def __init__(self, cluster: Cluster, env: Environment, images: list[Image], documents: list[Document]) -> None:
        self.cluster = cluster
        self.env = env
        self.images = {image.name: image for image in images}
        self.documents = documents
        put_images(documents, images, env)

    def deploy(self, changes: list[ServiceChange], say: Callable[[str], object] = print) -> None:
        """Roll out the changes, in the plan's order.

        Raises:
            DeployError: one failed, and was rolled back.
        """
        for change in changes:
            if change.change == "removed":
                say(f"{change.service} runs and is in no service.toml: remove it by hand when nothing needs it")
                continue
            image = self.images[change.service]
            say(f"{change.service} {change.running_tag or '(new)'} -> {change.tag}")
            if image.name == TOOLS:
                self._tools(image)
            else:
                self._service(change, image)
            self.cluster.apply([record_document(image)])

    def _tools(self, image: Image) -> None:
        backup = [d for d in self.documents if d["kind"] == "CronJob" and d["metadata"]["name"] == "backup"]
        self.cluster.apply(backup)
        run_job(self.cluster, self._at_home(prepare_job(self.env.image(TOOLS, image.tag), image.tag)))

    def _service(self, change: ServiceChange, image: Image) -> None:
        assert image.service is not None
        own = of_service(self.documents, image.name)
        migrate = image.service.is_worker is False and change.change != "manifests"
        if migrate:
            self._migrate(image, "before")
        self.cluster.apply(own)
        workloads = [
            (d["kind"].lower(), d["metadata"]["name"]) for d in own if d["kind"] in ("Deployment", "StatefulSet")
        ]
        try:
            for kind, name in workloads:
                wait(self.cluster, kind, name)
        except ClusterError as error:
            so = _go_back(change, workloads, self.cluster)
            raise DeployError(f"{image.name} did not become ready{so}: {error}") from None
        if migrate:
            self._migrate(image, "after")

    def _migrate(self, image: Image, phase: str) -> None:
        if phase == "after" and not any(file.endswith(".after.sql") for file in image.files):
            return
        job = self._at_home(migration_job(image, self.env.image(image.name, image.tag), phase))
        try:
            run_job(self.cluster, job)
        except ClusterError as error:
            so = (
                "nothing was rolled out"
                if phase == "before"
                else "the new pods run, what they no longer need is still there"
            )
            raise DeployError(f"{image.name}: its migrations failed, {so}: {error}") from None

    def _at_home(self, job: Document) -> Document:
        """A small cluster has no node of that label."""
        if self.env.small:
            del job["spec"]["template"]["spec"]["nodeSelector"]
        return job


def _go_back(change: ServiceChange, workloads: list[tuple[str, str]], cluster: Cluster) -> str:
    """Undo a rollout; return what became of that, to follow the words `did not become ready`."""
    if change.change == "new":
        return ", and there is nothing to go back to"
    stuck = []
    for kind, name in workloads:
        try:
            cluster.run("rollout", "undo", f"{kind}/{name}", "--namespace", NAMESPACE)
            wait(cluster, kind, name)
        except ClusterError as error:
            stuck.append(f"{kind}/{name} did not go back either ({error})")
    return f", and {', and '.join(stuck)}" if stuck else f" and was rolled back to {change.running_tag}"


def put_images(documents: list[Document], images: list[Image], env: Environment) -> None:
    """Give every container of ours, which has no image in any file, that of its service; those beside the database the tools'."""
    tags = {image.name: image.tag for image in images}
    for found in documents:
        pod = pod_of(found)
        name = found["metadata"].get("labels", {}).get("eco2/service", TOOLS)
        for container in containers(pod) if pod else []:
            if "image" not in container:
                container["image"] = env.image(name, tags[name])


EXAMPLES = """\
eco2 deploy --dry-run  # only say what would be done
eco2 deploy --service waste  # one service alone
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = "Roll out what `eco2 plan` names: migrate, apply, wait; roll back what fails."
    plan.options(parser)
    parser.add_argument("--service", action="append", metavar="NAME", help="these alone (may be repeated)")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")


def main(args: argparse.Namespace) -> int:
    try:
        context = args.context or environment(args.env).context or None
        cluster = Cluster(context)
        with contextlib.nullcontext() if args.dry_run else alone(cluster):
            return _main(args, cluster)
    except KeyboardInterrupt:
        print(
            "eco2 deploy: interrupted: the cluster goes on with what it was told; deploy again to finish it",
            file=sys.stderr,
        )
        return 130
    except (DeployError, RoomError, UnknownImage, *plan.REASONS) as error:
        print(f"eco2 deploy: {error}", file=sys.stderr)
        return 1


def _main(args: argparse.Namespace, cluster: Cluster) -> int:
    made, images = plan.make(args.env, args.running, cluster.context)
    changes = [*([made.tools] if made.tools else []), *made.services]
    if args.service:
        names = {find_image(name, images).name for name in args.service}
        changes = [change for change in changes if change.service in names]
    changes = [change for change in changes if change.change != "unchanged"]
    if not changes:
        print("nothing to deploy")
        return 0
    if args.dry_run:
        print(text(Plan(changes)))
        return 0
    if stale(Checkout()):
        raise DeployError("the manifests are not current: run `eco2 render` and commit what it changes")
    Rollout(cluster, environment(args.env), images, overlay_documents(args.env)).deploy(changes)
    return 0
