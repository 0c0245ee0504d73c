"""Waits for what a deploy has begun, and says why it does not come: in the pod's own words, and soon."""

import time
from collections.abc import Callable

from msgspec import Struct

from k8s.programs.cluster import Cluster
from k8s.programs.templates import Document
from k8s.programs.trouble import Refusals, full_text, last_words, trouble_of


class RolloutError(Exception):
    """Pods did not become what they should: the message has the first pod's own reason."""


class Patience(Struct, frozen=True):
    """How long is waited, in seconds."""

    whole: float = 300.0  # for a rollout or a job to end

    @property
    def fault(self) -> float:
        """How long a pod may say that it can't start (a registry may hiccup) before that counts."""
        return self.whole / 30

    @property
    def pause(self) -> float:
        """Between two looks."""
        return self.whole / 300


class _Look(Struct):
    """One look at a workload or a job."""

    found: Document
    pods: list[Document]  # those that are to be ready
    left: str  # what is missing; empty: nothing


def await_rollout(
    cluster: Cluster, kind: str, name: str, space: str, patience: Patience, say: Callable[[str], object] = print
) -> None:
    """Wait until all pods of a Deployment or StatefulSet are new and ready.

    Raises:
        RolloutError: one can't start, or they were not ready in time.
        ClusterError: the cluster does not answer any more.
    """

    stuck = _Stuck(cluster, patience)

    def look() -> _Look:
        found = cluster.get(kind, name, space)
        if found is None:
            raise RolloutError(f"{kind}/{name} is gone")
        left = left_of(found)
        pods = _pods_of(cluster, found) if left else []
        if found["kind"] == "StatefulSet" and _seen(found):
            stuck.see([pod for pod in pods if not _is_new(pod, found)])
        return _Look(found, [pod for pod in pods if _is_new(pod, found)], left)

    _until(cluster, look, patience, say)


def _pods_of(cluster: Cluster, workload: Document) -> list[Document]:
    labels = workload["spec"]["selector"]["matchLabels"]
    selector = ",".join(f"{key}={value}" for key, value in labels.items())
    return cluster.select("pods", workload["metadata"]["namespace"], selector)


class _Stuck:
    """Pods of a StatefulSet that are of another template and not ready: its controller would wait for them for ever."""

    def __init__(self, cluster: Cluster, patience: Patience) -> None:
        self.cluster = cluster
        self.patience = patience
        self._since: dict[str, float] = {}

    def see(self, pods: list[Document]) -> None:
        """Delete those that have been so for long enough: one that only starts slowly is left."""
        now = time.monotonic()
        for pod in pods:
            trouble = trouble_of(pod)
            if trouble is None or "deletionTimestamp" in pod["metadata"]:
                continue
            share = 1 / 5 if trouble.counts_after is None else trouble.counts_after
            since = self._since.setdefault(pod["metadata"]["uid"], now)
            if now - since >= share * self.patience.whole:
                metadata = pod["metadata"]
                self.cluster.delete("pod", metadata["name"], metadata["namespace"], wait=False)


def await_job(
    cluster: Cluster, name: str, space: str, patience: Patience, say: Callable[[str], object] = print
) -> None:
    """Wait until a job has ended well.

    Raises:
        RolloutError: it failed, can't start, or did not end in time.
    """

    def look() -> _Look:
        found = cluster.get("job", name, space)
        if found is None:
            raise RolloutError(f"job/{name} is gone")
        met = {c["type"]: c for c in found.get("status", {}).get("conditions", []) if c["status"] == "True"}
        if "Complete" in met:
            return _Look(found, [], "")
        pods = cluster.select("pods", space, f"batch.kubernetes.io/job-name={name}")
        if "Failed" in met:
            said = last_words(cluster, pods, space)
            raise RolloutError(f"job/{name} failed: {met['Failed'].get('message', '')}{said}")
        return _Look(found, pods, "it has not ended")

    _until(cluster, look, patience, say)


def _until(cluster: Cluster, look: Callable[[], _Look], patience: Patience, say: Callable[[str], object]) -> None:
    begun = time.monotonic()
    since: dict[tuple[str, str], float] = {}
    told: set[tuple[str, str]] = set()
    refusals = Refusals(cluster)
    while (now := look()).left:
        what, space = f"{now.found['kind'].lower()}/{now.found['metadata']['name']}", now.found["metadata"]["namespace"]
        at = time.monotonic()
        troubles = [trouble for pod in now.pods if (trouble := trouble_of(pod))]
        troubles += [] if now.pods else refusals.of(now.found)
        since = {t.key: since.get(t.key, at) for t in troubles}
        for trouble in troubles:
            lasted = at - since[trouble.key]
            if trouble.counts_after is not None and lasted >= trouble.counts_after * patience.whole:
                raise RolloutError(full_text(cluster, trouble, space))
            if lasted >= patience.fault and trouble.key not in told:
                told.add(trouble.key)
                say(f"  {what}: {full_text(cluster, trouble, space)}; waiting")
        if at - begun > patience.whole:
            last = f"; {full_text(cluster, troubles[0], space)}" if troubles else ""
            raise RolloutError(f"{what} took longer than {patience.whole:g} s: {now.left}{last}")
        time.sleep(patience.pause)


def _seen(workload: Document) -> bool:
    """Whether its controller speaks of the template that it has now."""
    seen: int = workload.get("status", {}).get("observedGeneration", 0)
    return bool(seen >= workload["metadata"].get("generation", 0))


def left_of(found: Document) -> str:
    """What is missing until a workload has rolled out; empty when it has."""
    status, wanted = found.get("status", {}), found["spec"].get("replicas", 1)
    if not _seen(found):
        return "its controller has not seen the change yet"
    if found["kind"] == "DaemonSet":
        return _left_of_nodes(status)
    updated = status.get("updatedReplicas", 0)
    ready = status.get("readyReplicas", 0) if found["kind"] == "StatefulSet" else status.get("availableReplicas", 0)
    if updated < wanted:
        return f"{updated} of {wanted} pods are new"
    if status.get("replicas", 0) > updated:
        return f"{status['replicas'] - updated} old pods are still there"
    if ready < wanted:
        return f"{ready} of {wanted} new pods are ready"
    if found["kind"] == "StatefulSet" and status.get("currentRevision") != status.get("updateRevision"):
        return "some pods are of the revision before"
    return ""


def _left_of_nodes(status: Document) -> str:
    """What is missing of a DaemonSet's pods, one on each of its nodes."""
    nodes, ready = status.get("desiredNumberScheduled", 0), status.get("numberAvailable", 0)
    if (new := status.get("updatedNumberScheduled", 0)) < nodes:
        return f"{new} of {nodes} nodes have the new pod"
    return f"the pods of {ready} of {nodes} nodes are ready" if ready < nodes else ""


def _is_new(pod: Document, workload: Document) -> bool:
    """Whether a pod was made from the workload's present template."""
    if workload["kind"] == "StatefulSet":
        made_from = pod["metadata"]["labels"].get("controller-revision-hash")
        return _seen(workload) and made_from == workload["status"].get("updateRevision")
    template = workload["spec"]["template"]
    marks = template["metadata"].get("annotations") or {}
    images = {c["name"]: c.get("image") for c in _specified(template["spec"])}
    own = pod["metadata"].get("annotations") or {}
    return {c["name"]: c.get("image") for c in _specified(pod["spec"])} == images and marks.items() <= own.items()


def _specified(spec: Document) -> list[Document]:
    return [*spec.get("initContainers", []), *spec["containers"]]
