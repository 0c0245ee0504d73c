"""Why pods are not ready, or not even made: in the words of the kubelet, the scheduler and the API server."""

import json
import re

from msgspec import Struct

from k8s.programs.cluster import Cluster, ClusterError
from k8s.programs.templates import Document


class Trouble(Struct, frozen=True):
    """What keeps a pod from being ready, and after how long that is an answer (None: it may yet pass)."""

    pod: str
    reason: str
    counts_after: float | None  # as a share of the whole patience
    logs_of: str = ""  # the container whose last words explain it

    @property
    def key(self) -> tuple[str, str]:
        """The same for one trouble in other words: ErrImagePull and ImagePullBackOff take turns."""
        return self.pod, self.reason.partition(":")[0]


_NO_NODE = "has no node"
ZONE = "topology.kubernetes.io/zone"

# Waiting reasons that no waiting mends.
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
        return Trouble(name, f"{_NO_NODE}: {scheduled.get('message', scheduled.get('reason', ''))}", 1 / 15)
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


class Refusals:
    """What the cluster says when it makes no pods for a workload: its account, its priority or its rights are not there."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._before: dict[str, int] | None = None  # what it had said when we came, and how often

    def of(self, workload: Document) -> list[Trouble]:
        """The trouble with a workload that has none of the pods it should have."""
        kind, name = workload["kind"].lower(), workload["metadata"]["name"]
        for met in workload.get("status", {}).get("conditions", []):
            if met["type"] == "ReplicaFailure" and met["status"] == "True":
                return [Trouble(f"{kind}/{name}", f"makes no pods: {met.get('message', '')}", 1 / 30)]
        said = self._events(workload)
        if self._before is None:
            self._before = said
        # An old event says nothing of now; one that is repeated does.
        again = [text for text, count in said.items() if count > self._before.get(text, 0)]
        return [Trouble(f"{kind}/{name}", f"makes no pods: {text}", 0.0) for text in again]

    def _events(self, workload: Document) -> dict[str, int]:
        fields = f"involvedObject.uid={workload['metadata']['uid']},reason=FailedCreate"
        space = workload["metadata"]["namespace"]
        found = self.cluster.run("get", "events", "--namespace", space, "--output", "json", "--field-selector", fields)
        return {event.get("message", ""): event.get("count") or 1 for event in json.loads(found)["items"]}


def _first_sentence(text: str) -> str:
    return re.sub(r"\s+", " ", text)[:300]


def full_text(cluster: Cluster, trouble: Trouble, space: str) -> str:
    """The trouble with what explains it: the last lines of a log, or what the kubelet noted of the pod."""
    of_pod = "/" not in trouble.pod
    text = f"{'pod ' if of_pod else ''}{trouble.pod} {trouble.reason}"
    try:
        if trouble.logs_of:
            return text + _log(cluster, trouble.pod, trouble.logs_of, space)
        if trouble.reason.startswith(_NO_NODE):
            return text + _why_no_node(cluster, trouble.pod, space)
        if trouble.counts_after is None and of_pod:
            noted = cluster.run(
                *("get", "events", "--namespace", space, "--output", "json"),
                *("--field-selector", f"involvedObject.name={trouble.pod},type=Warning"),
            )
            return text + _newest(noted)
    except ClusterError:
        pass
    return text


def _why_no_node(cluster: Cluster, name: str, space: str) -> str:
    """What the scheduler's message hides: that no node has the label, or that none of those is in the zone of a volume."""
    pod = cluster.get("pod", name, space)
    if pod is None:
        return ""
    wanted = ",".join(f"{key}={value}" for key, value in pod["spec"].get("nodeSelector", {}).items())
    nodes = cluster.select("nodes", space, wanted)
    if not nodes:
        return f"; no node has the label {wanted}: kubectl label node NAME {wanted}"
    zones = {node["metadata"].get("labels", {}).get(ZONE, "") for node in nodes}
    for volume in pod["spec"].get("volumes", []):
        if "persistentVolumeClaim" not in volume:
            continue
        claim = volume["persistentVolumeClaim"]["claimName"]
        bound = (cluster.get("pvc", claim, space) or {}).get("spec", {}).get("volumeName", "")
        there = _zones(cluster.get("pv", bound, space) or {}) if bound else set()
        if there and not there & zones:
            of = f"the nodes with {wanted}" if wanted else "the nodes"
            return f"; its volume {claim} is in {', '.join(sorted(there))}, {of} in {', '.join(sorted(zones))}"
    return ""


def _zones(volume: Document) -> set[str]:
    """The zones in which a volume can be used; none: anywhere."""
    terms = volume.get("spec", {}).get("nodeAffinity", {}).get("required", {}).get("nodeSelectorTerms", [])
    return {
        zone
        for term in terms
        for expression in term.get("matchExpressions", [])
        if expression["key"].endswith("/zone")
        for zone in expression["values"]
    }


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


def last_words(cluster: Cluster, pods: list[Document], space: str) -> str:
    """The last words of a failed job's newest pod."""
    newest = sorted(pods, key=lambda pod: pod["metadata"].get("creationTimestamp", ""))[-1:]
    return "".join(
        _log(cluster, pod["metadata"]["name"], pod["spec"]["containers"][0]["name"], space) for pod in newest
    )
