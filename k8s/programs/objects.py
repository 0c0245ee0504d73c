"""What applying an object would change in the cluster, by the API server's own word: it is asked to do all but keep it."""

import difflib
import json
from collections.abc import Iterable, Iterator
from typing import Any, Literal

from msgspec import Struct

from k8s.programs.cluster import Cluster, ClusterError
from k8s.programs.templates import Document
from k8s.programs.wanted import READS

# Written by the server with every change.
_SERVERS_OWN = ("managedFields", "generation", "resourceVersion", "uid", "creationTimestamp")
# The line of a workload that is as it should be, while its pods are not.
UNFINISHED = "  its rollout has not come to its end"
# By these a list's items are told apart.
_NAMES = ("name", "containerPort", "port", "key", "mountPath", "ip", "type")


class ObjectChange(Struct, frozen=True):
    """One object that is not as it should be. `diff` has a line for each field that would change, `-` before `+`."""

    kind: str
    namespace: str
    name: str
    change: Literal["new", "changed", "refused"]
    diff: list[str] = []
    service: str = ""  # the service it belongs to; empty: the base
    reads: list[str] = []  # settings and Secrets whose change rolls its pods out

    @property
    def id(self) -> str:
        """`Deployment eco2/api-auth`."""
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


def compare(cluster: Cluster, documents: list[Document]) -> list[ObjectChange]:
    """The objects that are new or would change, in the documents' order.

    Raises:
        ClusterError: the cluster does not answer.
    """
    live = {identity(found): found for found in cluster.live(documents)}
    there = [found for found in documents if identity(found) in live]
    would, refused = _would_be(cluster, there)
    changes = []
    for found in documents:
        key = identity(found)
        service = service_of(found)
        if key not in live:
            changes.append(ObjectChange(*key, "new", service=service))
        elif key in refused:
            changes.append(ObjectChange(*key, "refused", [f"! {refused[key]}"], service))
        else:
            lines = list(_lines("", _plain(live[key]), _plain(would[key])))
            reads = _reads(live[key], would[key])
            if not lines and not reads and half_way(live[key]):
                lines = [UNFINISHED]
            if lines or reads:
                changes.append(ObjectChange(*key, "changed", lines, service, reads))
    return changes


def half_way(found: Document) -> bool:
    """Whether a workload's last rollout never came to its end: a deploy was interrupted there.

    It came to its end when all pods were ready at once: one that an autoscaler makes larger after that is not half way, nor one
    whose pods are away with their node.
    """
    status = found.get("status", {})
    if found["kind"] not in ("Deployment", "StatefulSet") or not found["spec"].get("replicas", 1):
        return False
    if status.get("observedGeneration", 0) < found["metadata"].get("generation", 0):
        return True
    if found["kind"] == "StatefulSet":
        return bool(status.get("currentRevision") != status.get("updateRevision"))
    reasons = {c["type"]: c.get("reason") for c in status.get("conditions", [])}
    return reasons.get("Progressing") != "NewReplicaSetAvailable"


Key = tuple[str, str, str]


def identity(found: Document) -> Key:
    """Kind, namespace and name."""
    return found["kind"], found["metadata"].get("namespace", ""), found["metadata"]["name"]


def service_of(found: Document) -> str:
    """The service that an object belongs to; empty: none."""
    service: str = found["metadata"].get("labels", {}).get("eco2/service", "")
    return service


def _would_be(cluster: Cluster, documents: list[Document]) -> tuple[dict[Key, Document], dict[Key, str]]:
    if not documents:
        return {}, {}
    try:
        return {identity(found): found for found in cluster.would_be(documents)}, {}
    except ClusterError:
        # One that can't be changed in place spoils the answer about all: ask about halves until it is alone.
        if len(documents) == 1:
            raise
    would: dict[Key, Document] = {}
    refused: dict[Key, str] = {}
    middle = len(documents) // 2
    for half in (documents[:middle], documents[middle:]):
        try:
            more, less = _would_be(cluster, half)
        except ClusterError as error:
            more, less = {}, {identity(half[0]): str(error).partition(": ")[2]}
        would |= more
        refused |= less
    return would, refused


def _plain(found: Document) -> Document:
    metadata = {k: v for k, v in found["metadata"].items() if k not in _SERVERS_OWN}
    marks = dict(metadata.get("annotations") or {})
    marks.pop("kubectl.kubernetes.io/last-applied-configuration", None)
    return {**{k: v for k, v in found.items() if k != "status"}, "metadata": {**metadata, "annotations": marks}}


def _reads(live: Document, would: Document) -> list[str]:
    """What of a pod's reading has changed, by name."""

    def of(found: Document) -> dict[str, str]:
        template = found.get("spec", {}).get("template", {})
        text = (template.get("metadata", {}).get("annotations") or {}).get(READS, "{}")
        read: dict[str, str] = json.loads(text)
        return read

    before, after = of(live), of(would)
    return sorted(name for name in {*before, *after} if before.get(name) != after.get(name))


def _lines(path: str, old: Any, new: Any) -> Iterator[str]:
    """The differing leaves of two trees."""
    if old == new or path.endswith(READS):  # its own kind of change: ObjectChange.reads
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            yield from _lines(f"{path}.{key}" if path else key, old.get(key), new.get(key))
    elif isinstance(old, list) and isinstance(new, list) and (named := _named(old, new)):
        before, after = named
        for key in [*before, *(key for key in after if key not in before)]:
            yield from _lines(f"{path}[{key}]", before.get(key), after.get(key))
    elif isinstance(old, str) and isinstance(new, str) and "\n" in old + new:
        yield f"  {path}:"
        shown = difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=1)
        yield from (f"    {line}" for line in list(shown)[2:])
    else:
        yield from [] if old is None else [f"- {path}: {_short(old)}"]
        yield from [] if new is None else [f"+ {path}: {_short(new)}"]


def _named(old: list[Any], new: list[Any]) -> tuple[dict[str, Any], dict[str, Any]] | None:
    for name in _NAMES:
        if all(isinstance(item, dict) and name in item for item in [*old, *new]):
            sides = [{str(item[name]): item for item in side} for side in (old, new)]
            if [len(side) for side in sides] == [len(old), len(new)]:
                return sides[0], sides[1]
    return None


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 120 else f"{text[:117]}..."


def texts(changes: Iterable[ObjectChange]) -> list[str]:
    """The changes for a person: each object with its lines."""
    lines = []
    for change in changes:
        lines.append(f"{change.id:52} {change.change}")
        lines += [f"    {line}" for line in change.diff]
        lines += [f"    its pods read: {', '.join(change.reads)}"] if change.reads else []
    return lines
