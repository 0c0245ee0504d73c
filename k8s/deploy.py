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

from k8s import plan
from k8s.build import BuildError
from k8s.environments import UnknownEnvironment, environment
from k8s.manifests import Document, document, labels
from k8s.plan import Image, PlanError, ServiceChange, kubectl
from k8s.render import dump, migration_job, pod_of, stale
from runtime.closure import Checkout, ClosureError
from runtime.loader import LoadError
from runtime.services import ROOT, ServiceError
from shared import clock

LOCK = "deploy-lock"
# Longer than `progressDeadlineSeconds`, so that Kubernetes' own word comes first.
PATIENCE = "300s"


class DeployError(Exception):
    """A rollout failed, or can't begin: the message says which, and what was done about it."""


class Cluster:
    """kubectl, bound to a context."""

    def __init__(self, context: str | None) -> None:
        self.context = context

    def apply(self, documents: list[Document]) -> None:
        """Create or change objects."""
        kubectl("apply", "--filename", "-", context=self.context, text=dump(documents))

    def wait(self, kind: str, name: str) -> None:
        """Wait until a Deployment's or StatefulSet's pods are all new and ready."""
        kubectl("rollout", "status", f"{kind}/{name}", f"--timeout={PATIENCE}", context=self.context)

    def undo(self, kind: str, name: str) -> None:
        """Go back to the revision before."""
        kubectl("rollout", "undo", f"{kind}/{name}", context=self.context)

    def run(self, job: Document) -> None:
        """Run a job to its end.

        Raises:
            PlanError: it did not end well in time; the message has the last it said.
        """
        name, where = f"job/{job['metadata']['name']}", ["--namespace", job["metadata"]["namespace"]]
        # One of that name that failed before would fail for ever, and one of other manifests can't be changed in place.
        kubectl("delete", name, "--ignore-not-found", *where, context=self.context)
        self.apply([job])
        try:
            kubectl("wait", "--for=condition=complete", f"--timeout={PATIENCE}", *where, name, context=self.context)
        except PlanError as error:
            said = ""
            with contextlib.suppress(PlanError):
                said = kubectl("logs", name, "--tail=3", *where, context=self.context).strip()
            raise PlanError(f"{error}" + (f"\n{said}" if said else "")) from None

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other deploys out meanwhile: two would plan against what each is about to change.

        Raises:
            DeployError: another is under way.
        """
        holder = f"{socket.gethostname()}, process {os.getpid()}, since {clock.now():%Y-%m-%d %H:%M} UTC"
        lock = document("ConfigMap", LOCK, "v1", metadata={"labels": labels(LOCK)}, data={"holder": holder})
        try:
            kubectl("create", "--filename", "-", context=self.context, text=dump([lock]))
        except PlanError:
            held = kubectl("get", "configmap", LOCK, "--ignore-not-found", "-o", "json", context=self.context)
            if not held:
                raise
            raise DeployError(
                f"another deploy is under way ({msgspec.json.decode(held)['data']['holder']});"
                f" if it is long dead: kubectl -n eco2 delete configmap {LOCK}"
            ) from None
        try:
            yield
        finally:
            kubectl("delete", f"configmap/{LOCK}", "--ignore-not-found", context=self.context)


def overlay_documents(env: str, root: Path = ROOT) -> list[Document]:
    """All objects of an environment, as kustomize puts them together."""
    text = kubectl("kustomize", str(root / "k8s/overlays" / env))
    return [found for found in yaml.safe_load_all(text) if found]


def of_service(documents: list[Document], name: str) -> list[Document]:
    """The objects of one service."""
    return [d for d in documents if d["metadata"].get("labels", {}).get("eco2/service") == name]


def record_document(image: Image) -> Document:
    """What an image was made from, for the next plan to compare with."""
    text = msgspec.json.encode(image.record).decode()
    marks = {**labels(f"record-{image.name}"), "eco2/record": image.name}
    return document("ConfigMap", f"record-{image.name}", "v1", metadata={"labels": marks}, data={"record.json": text})


def deploy(
    changes: list[ServiceChange],
    images: list[Image],
    documents: list[Document],
    cluster: Cluster,
    say: Callable[[str], object] = print,
) -> None:
    """Roll out the changes, in the plan's order.

    Raises:
        DeployError: one failed, and was rolled back.
    """
    by_name = {image.name: image for image in images}
    for change in changes:
        if change.change == "unchanged":
            continue
        if change.change == "removed":
            say(f"{change.service} runs and is in no service.toml: remove it by hand when nothing needs it")
            continue
        image = by_name[change.service]
        say(f"{change.service} {change.running_tag or '(new)'} -> {change.tag}")
        _roll_out(change, image, documents, cluster)
        cluster.apply([record_document(image)])


def _roll_out(change: ServiceChange, image: Image, documents: list[Document], cluster: Cluster) -> None:
    if image.service is None:
        own = [d for d in documents if d["kind"] == "CronJob" and d["metadata"]["name"] == "backup"]
        jobs = [d for d in documents if d["kind"] == "Job" and d["metadata"]["name"] == f"prepare-{image.tag}"]
        cluster.apply(own)
        for job in jobs:
            cluster.run(job)
        return
    own = of_service(documents, image.name)
    migrate = image.service.is_worker is False and change.change != "manifests"
    if migrate:
        _migrate(image, documents, cluster, "before")
    cluster.apply(own)
    workloads = [(d["kind"].lower(), d["metadata"]["name"]) for d in own if d["kind"] in ("Deployment", "StatefulSet")]
    try:
        for kind, name in workloads:
            cluster.wait(kind, name)
    except PlanError as error:
        raise DeployError(f"{image.name} did not become ready{_go_back(change, workloads, cluster)}: {error}") from None
    if migrate:
        _migrate(image, documents, cluster, "after")


def _go_back(change: ServiceChange, workloads: list[tuple[str, str]], cluster: Cluster) -> str:
    """Undo a rollout; return what became of that, to follow the words `did not become ready`."""
    if change.change == "new":
        return ", and there is nothing to go back to"
    stuck = []
    for kind, name in workloads:
        try:
            cluster.undo(kind, name)
            cluster.wait(kind, name)
        except PlanError as error:
            stuck.append(f"{kind}/{name} did not go back either ({error})")
    return f", and {', and '.join(stuck)}" if stuck else f" and was rolled back to {change.running_tag}"


def _migrate(image: Image, documents: list[Document], cluster: Cluster, phase: str) -> None:
    assert image.service is not None
    if phase == "after" and not any(file.endswith(".after.sql") for file in image.files):
        return
    job = migration_job(image.service, image.tag, phase)
    # The registry and tag that the overlay gave this image.
    running = next(pod for d in of_service(documents, image.name) if (pod := pod_of(d)) is not None)
    job["spec"]["template"]["spec"]["containers"][0]["image"] = running["containers"][0]["image"]
    if "nodeSelector" not in running:
        del job["spec"]["template"]["spec"]["nodeSelector"]
    try:
        cluster.run(job)
    except PlanError as error:
        so = (
            "nothing was rolled out"
            if phase == "before"
            else "the new pods run, what they no longer need is still there"
        )
        raise DeployError(f"{image.name}: its migrations failed, {so}: {error}") from None


def retag(documents: list[Document], images: list[Image], registry: str) -> None:
    """Give every image of ours the plan's tag: those in git are of the last `eco2 render`."""
    tags = {f"{registry}/{image.name}": image.tag for image in images}
    for found in documents:
        pod = pod_of(found)
        for container in [*pod.get("initContainers", []), *pod["containers"]] if pod else []:
            name = container["image"].rpartition(":")[0]
            if name in tags:
                container["image"] = f"{name}:{tags[name]}"
                if found["kind"] == "Job" and found["metadata"]["name"].startswith("prepare-"):
                    found["metadata"]["name"] = f"prepare-{tags[name]}"


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
        with contextlib.nullcontext() if args.dry_run else cluster.alone():
            return _main(args, cluster)
    except KeyboardInterrupt:
        print(
            "eco2 deploy: interrupted: the cluster goes on with what it was told; deploy again to finish it",
            file=sys.stderr,
        )
        return 130
    except (
        *(DeployError, BuildError, PlanError, ClosureError),
        *(LoadError, ServiceError, UnknownEnvironment),
    ) as error:
        print(f"eco2 deploy: {error}", file=sys.stderr)
        return 1


def _main(args: argparse.Namespace, cluster: Cluster) -> int:
    made, images = plan.make(args.env, args.running, cluster.context, guess=False)
    changes = [*([made.tools] if made.tools else []), *made.services]
    if args.service:
        names = {plan.find_image(name, images).name for name in args.service}
        changes = [change for change in changes if change.service in names]
    changes = [change for change in changes if change.change != "unchanged"]
    if not changes:
        print("nothing to deploy")
        return 0
    if args.dry_run:
        print(plan.text(plan.Plan(changes)))
        return 0
    if stale(Checkout()):
        raise DeployError("the manifests are not current: run `eco2 render` and commit what it changes")
    documents = overlay_documents(args.env)
    retag(documents, images, environment(args.env).registry)
    deploy(changes, images, documents, cluster)
    return 0
