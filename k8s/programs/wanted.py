"""All objects of an environment as a deploy brings them: kustomize's, with images and with a digest of what each pod reads.

A pod reads its settings when it starts. So its template carries, in the annotation `eco2/reads`, a short digest of each setting
and Secret it reads: one that changes rolls its readers out, and no others.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from k8s.programs.cluster import kustomize
from k8s.programs.environments import Environment
from k8s.programs.images import TOOLS, Image
from k8s.programs.manifests import containers, pod_of, pod_template
from k8s.programs.templates import Document, read
from runtime.closure import digest
from runtime.services import ROOT

READS = "eco2/reads"
# Read again while a pod runs, or only when a volume is first made: a new value needs no new pod. `eco2 rotate` tells the servers.
TOLD_OTHERWISE = {
    ("eco2", "jwks"),
    ("eco2", "auth-signing-key"),
    ("eco2", "broker-redis"),
    ("eco2", "cache-redis"),
    ("database", "postgres-superuser"),
}

# Namespace and name of a ConfigMap or Secret to its keys and values, as text.
Values = Mapping[tuple[str, str], Mapping[str, str]]


def overlay_documents(env: str, root: Path = ROOT) -> list[Document]:
    """All objects of an environment, as kustomize puts them together."""
    return read(kustomize(str(root / "k8s/overlays" / env)))


def put_images(documents: list[Document], images: Iterable[Image], env: Environment) -> None:
    """Give every container of ours, which has no image in any file, that of its service; those beside the database the tools'."""
    tags = {image.name: image.tag for image in images}
    for found in documents:
        pod = pod_of(found)
        name = found["metadata"].get("labels", {}).get("eco2/service", TOOLS)
        for container in containers(pod) if pod else []:
            if "image" not in container:
                container["image"] = env.image(name, tags[name])


def put_reads(documents: list[Document], secrets: Values) -> None:
    """Write into each pod template what its pods read, as digests. `secrets` are those that the cluster has."""
    maps = {key(d): d.get("data") or {} for d in documents if d["kind"] == "ConfigMap"}
    for found in documents:
        template = pod_template(found)
        if template is None or found["kind"] in ("Job", "CronJob"):  # their next run reads anew
            continue
        reads = dict(_reads(template["spec"], found["metadata"]["namespace"], maps, secrets))
        if reads:
            marks = template["metadata"].setdefault("annotations", {})
            marks[READS] = json.dumps(reads, sort_keys=True, separators=(",", ":"))


def _reads(pod: Document, space: str, maps: Values, secrets: Values) -> Iterator[tuple[str, str]]:
    for container in containers(pod):
        for entry in container.get("env", []):
            source = entry.get("valueFrom", {})
            for kind, values in (("configMapKeyRef", maps), ("secretKeyRef", secrets)):
                if kind in source and (space, source[kind]["name"]) not in TOLD_OTHERWISE:
                    value = values.get((space, source[kind]["name"]), {}).get(source[kind]["key"])
                    if value is not None:
                        yield entry["name"], _short(value)
    for volume in pod.get("volumes", []):
        for kind, field, values in (("configMap", "name", maps), ("secret", "secretName", secrets)):
            where = (space, volume.get(kind, {}).get(field, ""))
            if where in values and where not in TOLD_OTHERWISE:
                yield where[1], _short(json.dumps(dict(values[where]), sort_keys=True))


def _short(value: str) -> str:
    return digest(value.encode())[:8]


def key(found: Document) -> tuple[str, str]:
    """Namespace and name of an object."""
    return found["metadata"].get("namespace", ""), found["metadata"]["name"]


def missing_secrets(documents: Iterable[Document], secrets: Values) -> list[str]:
    """`namespace/name` of each Secret that some pod can't start without and the cluster does not have."""
    needed = set()
    for found in documents:
        pod, space = pod_of(found), found["metadata"].get("namespace", "")
        for container in containers(pod) if pod else []:
            for entry in container.get("env", []):
                reference = entry.get("valueFrom", {}).get("secretKeyRef")
                if reference and not reference.get("optional"):
                    needed.add((space, reference["name"], reference["key"]))
        for volume in (pod or {}).get("volumes", []):
            if "secret" in volume and not volume["secret"].get("optional"):
                needed.add((space, volume["secret"]["secretName"], ""))
    lacking = {
        f"{space}/{name}"
        for space, name, entry in needed
        if (space, name) not in secrets or (entry and entry not in secrets[space, name])
    }
    return sorted(lacking)
