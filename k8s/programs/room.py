"""What must hold before anything is rolled out: requests fit their nodes, pools fit PostgreSQL's connections."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec import Struct

from k8s.programs.manifests import containers, home_of, largest, pod_of, service_documents
from k8s.programs.quantities import cores, mebibytes
from k8s.programs.templates import Document, read
from runtime.services import ROOT, Service

# Nodes that take no pods of others.
_STORES = ("postgresql", "broker", "cache")
HEADROOM = 12  # connections kept for migrations, backups, a person with psql and the superuser


class RoomError(Exception):
    """The manifests can't hold: the message says what does not fit."""


def base_documents(root: Path = ROOT) -> list[Document]:
    """The objects of k8s/base that are written by hand."""
    found = []
    for file in sorted((root / "k8s/base").glob("*/*.yaml")):
        if file.parent.name != "services" and file.name != "kustomization.yaml":
            found += read(file.read_text(encoding="utf-8"))
    return found


class Load(Struct, frozen=True):
    """What a workload asks of its node: one pod's cores and MiB, how many pods there usually are, and at most."""

    name: str
    label: str
    cpu: float
    memory: float
    usual: int
    most: int
    moves: bool  # whether its pods may run elsewhere while its node is away


Room = dict[str, tuple[float, float]]  # a node's label to its cores and MiB


def node_plan(root: Path = ROOT) -> Document:
    """k8s/nodes.yaml."""
    (found,) = read((root / "k8s/nodes.yaml").read_text(encoding="utf-8"))
    return found


def loads(services: Iterable[Service], root: Path = ROOT) -> list[Load]:
    """All workloads of the services and of the base."""
    documents = [document for service in services for document in service_documents(service)] + base_documents(root)
    scaled = {d["metadata"]["name"]: d["spec"] for d in documents if d["kind"] == "HorizontalPodAutoscaler"}
    found = []
    for document in documents:
        pod = pod_of(document)
        if pod is None:
            continue
        name = document["metadata"]["name"]
        asked = [container["resources"]["requests"] for container in containers(pod)]
        usual = document["spec"].get("replicas", 1)
        found.append(
            Load(
                name=name,
                label=home_of(pod),
                cpu=sum(cores(one["cpu"]) for one in asked),
                memory=sum(mebibytes(one["memory"]) for one in asked),
                usual=scaled[name]["minReplicas"] if name in scaled else usual,
                most=scaled[name]["maxReplicas"] if name in scaled else usual,
                moves="nodeSelector" not in pod,
            )
        )
    return found


def empty(plan: Document, platform: str) -> Room:
    """What each node has for pods of ours: without what others run there."""
    kinds = plan["platforms"][platform]
    found = {}
    for node in plan["nodes"]:
        kind = kinds["instances"][node["instance"]]
        every = [*kinds["daemonsets"], *kinds["others"]]
        beside = [one for one in every if node["label"] in one.get("nodes", [node["label"]])]
        beside += [] if node["label"] == "control-plane" else [plan["shipper"]]
        cpu = cores(kind["cpu"]) - sum(cores(one["cpu"]) for one in beside)
        memory = mebibytes(kind["memory"]) - sum(mebibytes(one["memory"]) for one in beside)
        found[node["label"]] = (cpu, memory)
    return found


def left(room: Room, every: list[Load], *, at_most: bool) -> Room:
    """What is left of each node when each workload runs its usual number of pods, or the most.

    Raises:
        RoomError: a workload wants a node that there is not.
    """
    found = dict(room)
    for load in every:
        if load.label not in found:
            raise RoomError(f"{load.name} wants a node {load.label}, which k8s/nodes.yaml does not have")
        cpu, memory = found[load.label]
        count = load.most if at_most else load.usual
        found[load.label] = (cpu - count * load.cpu, memory - count * load.memory)
    return found


def check_nodes(services: Iterable[Service], root: Path = ROOT) -> dict[str, Room]:
    """What is left of each node, by platform, with all autoscalers at their most.

    Raises:
        RoomError: a node is too small, there is none of that label, or one can't be drained.
    """
    plan, every = node_plan(root), loads(services, root)
    found, problems = {}, []
    for platform in plan["platforms"]:
        room = empty(plan, platform)
        found[platform] = left(room, every, at_most=True)
        problems += [
            f"{label} lacks {max(0.0, -cpu):.2f} cores and {max(0.0, -memory):.0f}Mi ({platform}, at its most)"
            for label, (cpu, memory) in found[platform].items()
            if cpu < 0 or memory < 0
        ]
        problems += [f"{text} ({platform})" for text in _stuck(room, every)]
    if problems:
        raise RoomError(f"the requests don't fit the nodes of k8s/nodes.yaml: {'; '.join(problems)}")
    return found


def _stuck(room: Room, every: list[Load]) -> Iterator[str]:
    """Nodes whose pods find no room on the others, at the usual numbers, while the node is drained or lost."""
    for gone in sorted({load.label for load in every if load.moves}):
        rest = left(room, every, at_most=False)
        for store in [*_STORES, "control-plane", gone]:
            rest.pop(store, None)
        pods = [load for load in every if load.moves and load.label == gone for _ in range(load.usual)]
        for load in sorted(pods, key=lambda load: -load.memory):
            fitting = [label for label, (cpu, memory) in rest.items() if cpu >= load.cpu and memory >= load.memory]
            if not fitting:
                yield f"{gone} can't be drained: a pod of {load.name} finds no room elsewhere"
                break
            place = max(fitting, key=lambda label: rest[label])
            rest[place] = (rest[place][0] - load.cpu, rest[place][1] - load.memory)


def connections(services: Iterable[Service]) -> dict[str, int]:
    """The most connections that each service may hold: its pools at their largest, its relay or its syncer."""
    found = {}
    for service in services:
        # An API process has one more for the relay; beside a worker is a syncer, with a connection of its own.
        each = service.database.pool + 1
        count = service.run.replicas if service.is_worker else largest(service)
        count += sum(largest(service, spec.replicas) for spec in service.functions.values() if spec.deployment)
        found[service.name] = each * count
    return found


def check_connections(services: Iterable[Service], root: Path = ROOT) -> int:
    """Return how many of PostgreSQL's connections stay free when everything runs at its largest.

    Raises:
        RoomError: none would.
    """
    text = (root / "k8s/base/postgres/postgresql.conf").read_text(encoding="utf-8")
    line = next(line for line in text.splitlines() if line.startswith("max_connections"))
    most = int(line.partition("=")[2])
    used = connections(services)
    free = most - HEADROOM - sum(used.values())
    if free < 0:
        listed = ", ".join(f"{name} {count}" for name, count in used.items())
        raise RoomError(f"all pools together ({listed}) leave {free} of max_connections = {most}")
    return free
