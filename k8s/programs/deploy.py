"""`eco2 deploy`: makes the cluster what the checkout says, in an order in which each moment is a working system.

First the objects of no service (settings, policies, stores), then roles and schemas, then service by service: the migrations
that add, the new pods, the wait until they are ready, the migrations that take away, the record. It may end anywhere, by a kill
or a lost connection: the next one compares again and goes on with what is missing. A rollout that fails is rolled back, and
the ones after it are not begun.
"""

import argparse
import sys
from collections.abc import Callable

import msgspec

from k8s.programs import registry
from k8s.programs.changes import Plan, ServiceChange, text
from k8s.programs.cluster import Cluster, ClusterError, chosen, options
from k8s.programs.environments import Environment, environment
from k8s.programs.images import TOOLS, Image, UnknownImage, find_image
from k8s.programs.jobs import migration_job, prepare_job
from k8s.programs.lock import Locked, alone, make_namespaces
from k8s.programs.manifests import document, labels
from k8s.programs.objects import UNFINISHED, ObjectChange, identity, service_of
from k8s.programs.plan import REASONS, Situation, against_cluster
from k8s.programs.render import current
from k8s.programs.rollout import Patience, RolloutError, await_job, await_rollout
from k8s.programs.templates import Document
from runtime.closure import Checkout

Say = Callable[[str], object]
WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet")
# What others need is made before them, whatever the order in the files.
_FIRST = ("Namespace", "StorageClass", "PriorityClass", "ServiceAccount", "ConfigMap")


class DeployError(Exception):
    """A rollout failed, or can't begin: the message says which, and what was done about it."""


class Deployment:
    """One run: where it goes, what is to be there, how long it waits."""

    def __init__(
        self, cluster: Cluster, env: Environment, situation: Situation, patience: Patience, say: Say = print
    ) -> None:
        self.cluster = cluster
        self.env = env
        self.documents = situation.documents
        self.images = {image.name: image for image in situation.images}
        self.patience = patience
        self.say = say

    def run(self, plan: Plan) -> None:
        """Bring about the plan, in its order.

        Raises:
            DeployError: something failed, and was rolled back.
        """
        self._base(plan.base)
        for change in [*([plan.tools] if plan.tools else []), *plan.services]:
            if change.change == "removed":
                self.say(f"{change.service} runs and is in no service.toml: remove it by hand when nothing needs it")
            elif change.change != "unchanged":
                self.say(_begins(change))
                image = self.images[change.service]
                self._tools(image) if image.name == TOOLS else self._service(change, image)
                self.cluster.apply([record_document(image)])

    def _base(self, changes: list[ObjectChange]) -> None:
        """Objects of no service: what others need first, then workloads one by one."""
        if refused := [f"{change.id} {' '.join(change.diff)}" for change in changes if change.change == "refused"]:
            raise DeployError(f"can't be changed in place (k8s/RUNBOOK.md says how): {'; '.join(refused)}")
        by_key = {(change.kind, change.namespace, change.name): change for change in changes}
        wanted = [found for found in self.documents if identity(found) in by_key]
        wanted.sort(key=lambda found: _FIRST.index(found["kind"]) if found["kind"] in _FIRST else len(_FIRST))
        for found in wanted:
            self.say(f"{by_key[identity(found)].id} {by_key[identity(found)].change}")
        if quiet := [found for found in wanted if found["kind"] not in WORKLOADS]:
            self.cluster.apply(quiet)
        for found in wanted:
            if found["kind"] in WORKLOADS:
                self.cluster.apply([found])
                self._await([found], {identity(found): by_key[identity(found)]}, found["metadata"]["name"])

    def _tools(self, image: Image) -> None:
        job = self._anywhere(prepare_job(self.env.image(TOOLS, image.tag), image.tag))
        try:
            self._run_job(job)
        except RolloutError as error:
            raise DeployError(f"roles and schemas were not made: {error}") from None

    def _service(self, change: ServiceChange, image: Image) -> None:
        assert image.service is not None
        if refused := [f"{o.id} {' '.join(o.diff)}" for o in change.objects if o.change == "refused"]:
            raise DeployError(f"{image.name} can't be changed in place (k8s/RUNBOOK.md says how): {'; '.join(refused)}")
        own = [found for found in self.documents if service_of(found) == image.name]
        migrate = image.service.is_worker is False and change.change != "manifests"
        if migrate:
            # The migrations run as the service; nothing else of it is there before they have ended well.
            self.cluster.apply([found for found in own if found["kind"] == "ServiceAccount"])
            self._migrate(image, "before")
        self.cluster.apply(own)
        changed = {(o.kind, o.namespace, o.name): o for o in change.objects}
        self._await(own, changed, image.name, back_to=change.running_tag or "", unfinished=_came_from(change))
        if migrate:
            self._migrate(image, "after")

    def _await(
        self,
        own: list[Document],
        changed: dict[tuple[str, str, str], ObjectChange],
        name: str,
        back_to: str = "",
        unfinished: str = "",
    ) -> None:
        """Wait for workloads; where they don't come, go back with those whose pods were to change."""
        workloads = [found for found in own if found["kind"] in WORKLOADS]
        try:
            for found in workloads:
                self._wait(found)
        except RolloutError as error:
            new_pods = [found for found in workloads if unfinished or _new_pods(changed.get(identity(found)))]
            so = self._go_back(new_pods, unfinished or back_to)
            raise DeployError(f"{name} did not become ready{so}: {error}") from None

    def _wait(self, found: Document) -> None:
        kind, space, name = identity(found)
        await_rollout(self.cluster, kind.lower(), name, space, self.patience, self.say)

    def _go_back(self, workloads: list[Document], to: str) -> str:
        """Undo a rollout; return what became of that, to follow the words `did not become ready`."""
        if not workloads:
            return ", and there is nothing to go back to"
        stuck = []
        for found in workloads:
            kind, space, name = identity(found)
            try:
                self.cluster.undo(kind.lower(), name, space)
                self._wait(found)
            except (ClusterError, RolloutError) as error:
                stuck.append(f"{kind.lower()}/{name} did not go back either ({error})")
        return f", and {', and '.join(stuck)}" if stuck else f" and was rolled back{f' to {to}' if to else ''}"

    def _migrate(self, image: Image, phase: str) -> None:
        if phase == "after" and not any(file.endswith(".after.sql") for file in image.files):
            return
        try:
            self._run_job(self._anywhere(migration_job(image, self.env.image(image.name, image.tag), phase)))
        except RolloutError as error:
            so = (
                "nothing of it was rolled out"
                if phase == "before"
                else "the new pods run, what they no longer need is still there"
            )
            raise DeployError(f"{image.name}: its migrations failed, {so}: {error}") from None

    def _run_job(self, job: Document) -> None:
        """Run a job to its end: one of the same image that a deploy before has begun goes on, any other is made anew."""
        name, space = job["metadata"]["name"], job["metadata"]["namespace"]
        there = self.cluster.get("job", name, space)
        if there is None or not _under_way(there, job):
            if there is not None:
                self.cluster.delete("job", name, space)
            self.cluster.apply([job])
        await_job(self.cluster, name, space, self.patience, self.say)

    def _anywhere(self, job: Document) -> Document:
        """A small cluster has no nodes of certain parts."""
        if self.env.small:
            job["spec"]["template"]["spec"].pop("nodeSelector", None)
        return job


def _begins(change: ServiceChange) -> str:
    if change.running_tag != change.tag:
        return f"{change.service} {change.running_tag or '(new)'} -> {change.tag}"
    return f"{change.service} {change.tag}: {', '.join(chain[0] for chain in change.why)}"


def _under_way(there: Document, job: Document) -> bool:
    # One whose pods were refused (FailedCreate) is tried again later and later: a new one is tried at once.
    active = there.get("status", {}).get("active", 0) > 0
    images = [found["spec"]["template"]["spec"]["containers"][0]["image"] for found in (there, job)]
    return active and images[0] == images[1] and "deletionTimestamp" not in there["metadata"]


def _new_pods(change: ObjectChange | None) -> bool:
    """Whether a change made new pods in the place of others."""
    if change is None or change.change != "changed":
        return False
    return bool(change.reads) or any("spec.template" in line or line == UNFINISHED for line in change.diff)


def _came_from(change: ServiceChange) -> str:
    """The tag that ran before a rollout which was not finished, and which this deploy takes up again; else nothing."""
    return change.before if change.running_tag == change.tag and change.before != change.tag else ""


def record_document(image: Image) -> Document:
    """What an image was made from, for the next plan to compare with."""
    text = msgspec.json.encode(image.record).decode()
    marks = {**labels(f"record-{image.name}"), "eco2/record": image.name}
    return document("ConfigMap", f"record-{image.name}", "v1", metadata={"labels": marks}, data={"record.json": text})


EXAMPLES = """\
eco2 deploy --dry-run  # only say what would be done
eco2 deploy --service waste  # one service alone
"""
EXIT_CODES = {130: "interrupted: run it again to finish"}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = "Make the cluster what the checkout says: apply, migrate, wait; roll back what fails."
    options(parser)
    parser.add_argument("--service", action="append", metavar="NAME", help="these alone (may be repeated)")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
    parser.add_argument(
        "--timeout", type=float, default=300.0, metavar="SECONDS", help="for one rollout or job (default: 300)"
    )


def main(args: argparse.Namespace) -> int:
    try:
        cluster = chosen(args)
        if args.dry_run:
            situation = against_cluster(args.env, cluster)
            print("nothing to deploy" if situation.plan.nothing() else text(_only(situation, args.service)))
            return 0
        if not current(Checkout()):
            raise DeployError("the manifests are not current: run `eco2 render` and commit what it changes")
        make_namespaces(cluster)
        with alone(cluster, "deploy"):
            return _deploy(args, cluster)
    except KeyboardInterrupt:
        print(
            "eco2 deploy: interrupted: the cluster goes on with what it was told; deploy again to finish it",
            file=sys.stderr,
        )
        return 130
    except (DeployError, Locked, RolloutError, UnknownImage, *REASONS) as error:
        print(f"eco2 deploy: {error}", file=sys.stderr)
        return 1


def _only(situation: Situation, names: list[str] | None) -> Plan:
    """The plan, or what of it concerns some services."""
    if not names:
        return situation.plan
    chosen_names = {find_image(name, situation.images).name for name in names}
    tools = situation.plan.tools if TOOLS in chosen_names else None
    return Plan([change for change in situation.plan.services if change.service in chosen_names], tools)


def _deploy(args: argparse.Namespace, cluster: Cluster) -> int:
    situation = against_cluster(args.env, cluster)
    plan = _only(situation, args.service)
    if plan.nothing():
        print("nothing to deploy")
        return 0
    if situation.lacking:
        raise DeployError(f"the cluster lacks the Secrets {', '.join(situation.lacking)}: eco2 secrets init")
    env = environment(args.env)
    entries = [*([plan.tools] if plan.tools else []), *plan.services]
    names = [env.image(e.service, e.tag) for e in entries if e.change in ("new", "changed")]
    missing, unasked = registry.absent(names)
    if missing:
        raise DeployError(f"the registry does not have {', '.join(missing)}: eco2 build --push")
    if unasked and names:
        print(f"the registry was not asked whether it has the images: {unasked}")
    Deployment(cluster, env, situation, Patience(args.timeout)).run(plan)
    return 0
