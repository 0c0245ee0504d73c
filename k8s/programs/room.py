"""What must hold before anything is rolled out: requests fit their nodes, pools fit PostgreSQL's connections."""

from collections.abc import Iterable
from pathlib import Path

import yaml

from k8s.programs.manifests import containers, largest, pod_of, service_documents
from k8s.programs.quantities import cores, mebibytes
from k8s.programs.templates import Document
from runtime.services import ROOT, Service

HEADROOM = 12  # connections kept for migrations, backups, a person with psql and the superuser


class RoomError(Exception):
    """The manifests can't hold: the message says what does not fit."""


def base_documents(root: Path = ROOT) -> list[Document]:
    """The objects of k8s/base that are written by hand."""
    found = []
    for file in sorted((root / "k8s/base").glob("*/*.yaml")):
        if file.parent.name != "services" and file.name != "kustomization.yaml":
            found += [document for document in yaml.safe_load_all(file.read_text(encoding="utf-8")) if document]
    return found


def check_nodes(services: Iterable[Service], root: Path = ROOT) -> dict[str, tuple[float, float]]:
    """Add up, for each node, the requests of all that runs there at its largest; return cores and MiB left.

    Raises:
        RoomError: a node is too small, or there is none of that label.
    """
    plan = yaml.safe_load((root / "k8s/nodes.yaml").read_text(encoding="utf-8"))
    kinds = plan["instances"]
    left = {
        node["label"]: (cores(kinds[node["instance"]]["cpu"]), mebibytes(kinds[node["instance"]]["memory"]))
        for node in plan["nodes"]
    }
    documents = [document for service in services for document in service_documents(service)] + base_documents(root)
    scaled = {
        d["metadata"]["name"]: d["spec"]["maxReplicas"] for d in documents if d["kind"] == "HorizontalPodAutoscaler"
    }
    for found in documents:
        pod = pod_of(found)
        if pod is None:
            continue
        label = pod["nodeSelector"]["eco2/node"]
        if label not in left:
            raise RoomError(f"{found['metadata']['name']} wants a node {label}, which k8s/nodes.yaml does not have")
        replicas = scaled.get(found["metadata"]["name"], found["spec"].get("replicas", 1))
        for container in containers(pod):
            asked = container["resources"]["requests"]
            cpu, memory = left[label]
            left[label] = (cpu - replicas * cores(asked["cpu"]), memory - replicas * mebibytes(asked["memory"]))
    small = [
        f"{label} ({cpu:.2f} cores, {memory:.0f}Mi)" for label, (cpu, memory) in left.items() if cpu < 0 or memory < 0
    ]
    if small:
        raise RoomError(f"the requests don't fit these nodes of k8s/nodes.yaml; they lack: {', '.join(small)}")
    return left


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
