"""The Kubernetes objects that follow from a service.toml: which template, and the values of its words."""

import json
import re
from typing import Any

from k8s.programs import variables
from k8s.programs.quantities import mebibytes
from k8s.programs.templates import Document, fill
from runtime.closure import digest
from runtime.loader import Function, discover
from runtime.services import Service, seconds

NAMESPACE = "eco2"
DATABASE_NAMESPACE = "database"
MONITORING_NAMESPACE = "monitoring"
PORT = 8000
WORKER_PORT, SYNCER_PORT, JOURNALS_PORT = 8001, 8002, 8003
# How long an API pod still answers after it was told to end (`preStop` of templates/api.yaml), in seconds.
DRAIN = 10

# Everything but private networks: S3, and providers that service.toml names.
INTERNET = {
    "ipBlock": {
        "cidr": "0.0.0.0/0",
        "except": ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"],
    }
}
STORES = {
    "postgres": (DATABASE_NAMESPACE, "k8s-postgresql", 5432),
    "broker": ("", "broker", 6379),
    "cache": ("", "cache", 6379),
}


def labels(name: str, service: str | None = None) -> dict[str, str]:
    """The labels of an object; the first is what selectors match."""
    found = {"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "eco2"}
    return found | ({"eco2/service": service} if service else {})


def document(kind: str, name: str, api: str, **rest: Any) -> Document:
    """An object in our namespace."""
    metadata = {"name": name, "namespace": NAMESPACE, **rest.pop("metadata", {})}
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **rest}


def largest(service: Service, replicas: int | None = None) -> int:
    """The most replicas that the autoscaler may run of a service, or of a function with its own number of them."""
    return (replicas or service.run.replicas) * 2


def standalone(service: Service) -> list[Function]:
    """The functions that run as a Deployment of their own.

    Raises:
        ValueError: one is not an HTTP function of the service.
    """
    names = [name for name, spec in service.functions.items() if spec.deployment]
    functions = {function.name: function for function in (discover(service) if names else [])}
    for name in names:
        if name not in functions or functions[name].trigger != "http":
            raise ValueError(f"{service.folder}/service.toml: [functions.{name}] is no HTTP function")
    return [functions[name] for name in names]


def function_name(function: Function, service: Service) -> str:
    """`api-waste-create-analysis`."""
    return f"{service.name}-{function.name.replace('_', '-')}"


def service_documents(service: Service) -> list[Document]:
    """Everything of one service."""
    own = labels(service.name, service.name)
    listening = [WORKER_PORT, SYNCER_PORT, JOURNALS_PORT] if service.is_worker else [PORT]
    account, policy = fill(
        "service", service=service.name, labels=own, listening=ports(*listening), reaches=_reaches(service)
    )
    if service.is_worker:
        return [account, *_worker(service), policy]
    found = _api(service, service.name, service.folder, service.run.replicas)
    for function in standalone(service):
        replicas = service.functions[function.name].replicas or service.run.replicas
        found += _api(service, function_name(function, service), f"{service.folder}/{function.name}", replicas)
    return [account, *found, policy]


def _pod_labels(service: Service, name: str) -> dict[str, str]:
    return labels(name, service.name) | {f"eco2/uses-{part}": "true" for part in sorted(service.uses)}


def _api(service: Service, name: str, target: str, replicas: int) -> list[Document]:
    volumes, mounts = variables.key_files(service)
    return fill(
        "api",
        name=name,
        service=service.name,
        target=target,
        labels=labels(name, service.name),
        pod_labels=_pod_labels(service, name),
        node=service.run.node,
        grace=int(seconds(service.run.grace)) + DRAIN,
        environment=variables.environment(service),
        cpu=service.run.cpu,
        memory=service.run.memory,
        # What a host holds in use (55 to 65 MiB; tests/bench), and half as much again.
        usual_memory=f"{mebibytes(service.run.memory) * 3 / 8:g}Mi",
        key_volumes=volumes,
        key_mounts=mounts,
        replicas=replicas,
        most_replicas=largest(service, replicas),
    )


def _worker(service: Service) -> list[Document]:
    assert service.journal is not None
    volumes, mounts = variables.key_files(service)
    return fill(
        "worker",
        service=service.name,
        folder=service.folder,
        labels=labels(service.name, service.name),
        pod_labels=_pod_labels(service, service.name),
        node=service.run.node,
        # The syncer has half a minute after the worker's end.
        grace=int(seconds(service.run.grace)) + 30,
        environment=variables.environment(service),
        worker_environment=variables.worker_environment(service),
        copier_environment=variables.copier_environment(service),
        cpu=service.run.cpu,
        memory=service.run.memory,
        key_volumes=volumes,
        key_mounts=mounts,
        replicas=service.run.replicas,
        volume=service.journal.volume,
    )


def manifest_digest(service: Service) -> str:
    """The digest of a service's manifests."""
    return digest(json.dumps(service_documents(service), sort_keys=True).encode())[:16]


# Who may talk to whom


def pods(name: str) -> Document:
    """A peer in our namespace."""
    return {"podSelector": {"matchLabels": {"app.kubernetes.io/name": name}}}


def elsewhere(space: str, name: str) -> Document:
    """A peer in another namespace."""
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": space}}, **pods(name)}


def ports(*numbers: int) -> list[Document]:
    """TCP ports."""
    return [{"protocol": "TCP", "port": number} for number in numbers]


def _reaches(service: Service) -> list[Document]:
    """What a service may reach: the arrows of its service.toml."""
    found = []
    for use in service.uses:
        if use in STORES:
            space, name, port = STORES[use]
            found.append({"to": [elsewhere(space, name) if space else pods(name)], "ports": ports(port)})
    # A worker's journal is copied to the object store, whatever its functions use.
    if "objects" in service.uses or service.egress or service.is_worker:
        found.append({"to": [INTERNET], "ports": ports(443)})
    if "SMTP_URL" in service.secrets.optional:
        # Mail by submission (RFC 6409, RFC 8314), and the providers that people sign in with.
        found.append({"to": [INTERNET], "ports": ports(443, 465, 587)})
    return [*found, *({"to": [pods(name)], "ports": ports(PORT)} for name in service.calls)]


def callers(services: list[Service]) -> list[Document]:
    """A policy for each service that others call."""
    found = []
    for callee in services:
        calling = [pods(service.name) for service in services if callee.name in service.calls]
        if calling:
            found += fill("callers", service=callee.name, labels=labels(callee.name, callee.name), callers=calling)
    return found


def ingress(services: list[Service]) -> Document:
    """The front door."""
    paths: list[Document] = []
    conditions: dict[str, str] = {}
    apis = [service for service in services if not service.is_worker]
    for service in apis:
        for function in standalone(service):
            name = function_name(function, service)
            method, _, path = function.where.partition(" ")
            paths.append(_path(wildcard(path), "ImplementationSpecific", name))
            match = [{"field": "http-request-method", "httpRequestMethodConfig": {"Values": [method]}}]
            conditions[f"alb.ingress.kubernetes.io/conditions.{name}"] = json.dumps(match, separators=(",", ":"))
    paths += [_path(service.prefix, "Prefix", service.name) for service in apis]
    (found,) = fill("ingress", paths=paths)
    found["metadata"]["annotations"] |= conditions
    return found


def _path(path: str, kind: str, name: str) -> Document:
    return {"path": path, "pathType": kind, "backend": {"service": {"name": name, "port": {"number": PORT}}}}


def wildcard(path: str) -> str:
    """A route as the load balancer writes it: `/analyses/{id:uuid}` is `/analyses/*`."""
    return re.sub(r"\{[^}]*\}", "*", path)


def pod_template(found: Document) -> Document | None:
    """The pod template of a workload, with `metadata` and `spec`; None for anything else."""
    if found["kind"] not in ("Deployment", "StatefulSet", "Job", "CronJob", "DaemonSet"):
        return None
    spec = found["spec"]["jobTemplate"]["spec"] if found["kind"] == "CronJob" else found["spec"]
    template: Document = spec["template"]
    return template


def pod_of(found: Document) -> Document | None:
    """The pod's specification in a workload, or None for anything else."""
    template = pod_template(found)
    return template["spec"] if template else None


def home_of(pod: Document) -> str:
    """The label of the node that a pod belongs to."""
    if "nodeSelector" in pod:
        return str(pod["nodeSelector"]["eco2/node"])
    (preferred,) = pod["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    return str(preferred["preference"]["matchExpressions"][0]["values"][0])


def containers(pod: Document) -> list[Document]:
    """All containers of a pod's specification, those that start first before the others."""
    return [*pod.get("initContainers", []), *pod["containers"]]
