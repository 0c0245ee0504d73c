"""Waits for what a deploy has begun, and says why it does not come: in the pod's own words, and soon."""

import json
import re
import time
from collections.abc import Callable, Iterator

from msgspec import Struct

from k8s.programs.cluster import Cluster, ClusterError
from k8s.programs.templates import Document


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


class Trouble(Struct, frozen=True):
    """What keeps a pod from being ready, and after how long that is an answer (None: it may yet pass)."""

    pod: str
    reason: str
    counts_after: float | None
    logs_of: str = ""  # the container whose last words explain it


def await_rollout(
    cluster: Cluster, kind: str, name: str, space: str, patience: Patience, say: Callable[[str], object] = print
) -> None:
    """Wait until all pods of a Deployment or StatefulSet are new and ready.

    Raises:
        RolloutError: one can't start, or they were not ready in time.
        ClusterError: the cluster does not answer any more.
    """

    def look() -> tuple[bool, Iterator[Document], str]:
        found = cluster.get(kind, name, space)
        if found is None:
            raise RolloutError(f"{kind}/{name} is gone")
        left = _left(found)
        labels = found["spec"]["selector"]["matchLabels"]
        selector = ",".join(f"{key}={value}" for key, value in labels.items())
        pods = [] if not left else cluster.select("pods", space, selector)
        return not left, (pod for pod in pods if _is_new(pod, found)), left

    _until(cluster, look, space, patience, f"{kind}/{name}", say)


def drop_broken(cluster: Cluster, name: str, space: str) -> None:
    """Delete pods of a StatefulSet that are of another template and not ready: its controller would wait for them for ever."""
    found = cluster.get("statefulset", name, space)
    if found is None:
        return
    labels = found["spec"]["selector"]["matchLabels"]
    for pod in cluster.select("pods", space, ",".join(f"{key}={value}" for key, value in labels.items())):
        if trouble_of(pod) and not _is_new(pod, found):
            cluster.delete("pod", pod["metadata"]["name"], space)


def await_job(
    cluster: Cluster, name: str, space: str, patience: Patience, say: Callable[[str], object] = print
) -> None:
    """Wait until a job has ended well.

    Raises:
        RolloutError: it failed, can't start, or did not end in time.
    """

    def look() -> tuple[bool, Iterator[Document], str]:
        found = cluster.get("job", name, space)
        if found is None:
            raise RolloutError(f"job/{name} is gone")
        met = {c["type"]: c for c in found.get("status", {}).get("conditions", []) if c["status"] == "True"}
        pods = [] if "Complete" in met else cluster.select("pods", space, f"batch.kubernetes.io/job-name={name}")
        if "Failed" in met:
            said = _words_of(cluster, pods, space)
            raise RolloutError(f"job/{name} failed: {met['Failed'].get('message', '')}{said}")
        return "Complete" in met, iter(pods), "it has not ended"

    _until(cluster, look, space, patience, f"job/{name}", say)


def _until(
    cluster: Cluster,
    look: Callable[[], tuple[bool, Iterator[Document], str]],
    space: str,
    patience: Patience,
    what: str,
    say: Callable[[str], object],
) -> None:
    begun = time.monotonic()
    since: dict[tuple[str, str], float] = {}
    told: set[str] = set()
    while True:
        done, pods, left = look()
        if done:
            return
        now = time.monotonic()
        troubles = [trouble for pod in pods if (trouble := trouble_of(pod))]
        since = {(t.pod, t.reason): since.get((t.pod, t.reason), now) for t in troubles}
        for trouble in troubles:
            lasted = now - since[trouble.pod, trouble.reason]
            if trouble.counts_after is not None and lasted >= trouble.counts_after * patience.whole:
                raise RolloutError(f"{_full(cluster, trouble, space)}")
            if lasted >= patience.fault and trouble.reason not in told:
                told.add(trouble.reason)
                say(f"  {what}: {_full(cluster, trouble, space)}; waiting")
        if now - begun > patience.whole:
            last = f"; {_full(cluster, troubles[0], space)}" if troubles else ""
            raise RolloutError(f"{what} took longer than {patience.whole:g} s: {left}{last}")
        time.sleep(patience.pause)


def _left(found: Document) -> str:
    """What is missing until a workload has rolled out; empty when it has."""
    status, wanted = found.get("status", {}), found["spec"].get("replicas", 1)
    if status.get("observedGeneration", 0) < found["metadata"].get("generation", 0):
        return "its controller has not seen the change yet"
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


def _is_new(pod: Document, workload: Document) -> bool:
    """Whether a pod was made from the workload's present template."""
    template = workload["spec"]["template"]
    marks = template["metadata"].get("annotations") or {}
    images = {c["name"]: c.get("image") for c in _specified(template["spec"])}
    own = pod["metadata"].get("annotations") or {}
    return {c["name"]: c.get("image") for c in _specified(pod["spec"])} == images and marks.items() <= own.items()


def _specified(spec: Document) -> list[Document]:
    return [*spec.get("initContainers", []), *spec["containers"]]


# Waiting reasons that no waiting mends; the time is a share of the whole patience.
_CAN_NOT_START = {
    "ErrImagePull": 1 / 30,
    "ImagePullBackOff": 1 / 30,
    "InvalidImageName": 0.0,
    "ErrImageNeverPull": 0.0,
    "CreateContainerConfigError": 1 / 30,
    "CreateContainerError": 1 / 30,
    "RunContainerError": 1 / 30,
    "CrashLoopBackOff": 0.0,
}


def trouble_of(pod: Document) -> Trouble | None:
    """Why a pod is not ready, by its status; None where nothing is wrong (yet)."""
    name, status = pod["metadata"]["name"], pod.get("status", {})
    conditions = {c["type"]: c for c in status.get("conditions", [])}
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") == "False":
        return Trouble(name, f"has no node: {scheduled.get('message', scheduled.get('reason', ''))}", 1 / 15)
    for state in [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]:
        waiting = state.get("state", {}).get("waiting", {})
        reason = waiting.get("reason", "")
        if reason in _CAN_NOT_START:
            logs = state["name"] if reason == "CrashLoopBackOff" else ""
            text = f"{state['name']}: {reason}: {_first_sentence(waiting.get('message', ''))}".rstrip(": ")
            return Trouble(name, text, _CAN_NOT_START[reason], logs)
        ended = state.get("state", {}).get("terminated") or {}
        if ended.get("exitCode") and state.get("restartCount", 0) >= 2:
            text = f"{state['name']}: ended {state['restartCount'] + 1} times, last with code {ended['exitCode']}"
            return Trouble(name, text, 0.0, state["name"])
    for state in [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]:
        if "running" in state.get("state", {}) and not state.get("ready"):
            return Trouble(name, f"{state['name']} runs and is not ready", None)
        if state.get("state", {}).get("waiting", {}).get("reason") in ("ContainerCreating", "PodInitializing"):
            return Trouble(name, f"{state['name']} is being made", None)
    return None


def _first_sentence(text: str) -> str:
    return re.sub(r"\s+", " ", text)[:300]


def _full(cluster: Cluster, trouble: Trouble, space: str) -> str:
    """The trouble with what explains it: the last lines of a log, or what the kubelet noted of the pod."""
    text = f"pod {trouble.pod} {trouble.reason}"
    try:
        if trouble.logs_of:
            return text + _log(cluster, trouble.pod, trouble.logs_of, space)
        if trouble.counts_after is None:
            noted = cluster.run(
                *("get", "events", "--namespace", space, "--output", "json"),
                *("--field-selector", f"involvedObject.name={trouble.pod},type=Warning"),
            )
            return text + _newest(noted)
    except ClusterError:
        pass
    return text


def _newest(events: str) -> str:
    found = json.loads(events)["items"]
    found.sort(key=lambda event: event.get("lastTimestamp") or event.get("eventTime") or "")
    return f": {_first_sentence(found[-1].get('message', ''))}" if found else ""


def _log(cluster: Cluster, pod: str, container: str, space: str) -> str:
    words = ("logs", pod, "--container", container, "--namespace", space, "--tail=5")
    said = ""
    for which in (["--previous"], []):
        try:
            said = cluster.run(*words, *which).strip()
        except ClusterError:
            continue
        if said:
            break
    return "".join(f"\n    {line}" for line in said.splitlines())


def _words_of(cluster: Cluster, pods: list[Document], space: str) -> str:
    """The last words of a failed job's newest pod."""
    newest = sorted(pods, key=lambda pod: pod["metadata"].get("creationTimestamp", ""))[-1:]
    return "".join(
        _log(cluster, pod["metadata"]["name"], pod["spec"]["containers"][0]["name"], space) for pod in newest
    )
