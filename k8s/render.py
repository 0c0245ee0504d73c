"""Writes what follows from the service.toml files: manifests, Ingress, image tags, overlays. A test proves that git is current.

k8s/base/services/      one file a service, the Ingress, and who may call whom
k8s/images/             the tags, and the jobs whose names carry them
k8s/overlays/ENV/       registry, domain and settings of an environment of k8s/environments.toml
"""

import argparse
import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from k8s import manifests
from k8s.environments import Environment, UnknownEnvironment, environments
from k8s.manifests import Document, document, labels
from k8s.plan import wanted
from runtime.closure import Checkout, ClosureError
from runtime.loader import LoadError
from runtime.services import ROOT, Service, ServiceError, load_services

HEADER = "# Written by `eco2 render` from the service.toml files: change those, and run it.\n"
# One that happens to be all digits is quoted in YAML.
_TAG = re.compile(r"'[0-9]{16}'|\b[0-9a-f]{16}\b")
HEADROOM = 12  # connections kept for migrations, backups, a person with psql and the superuser


class RenderError(Exception):
    """The manifests can't hold: the message says what does not fit."""


class _Dumper(yaml.SafeDumper):
    """Writes lists below their key, and shares nothing by anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        del indentless
        super().increase_indent(flow, False)


def dump(documents: Iterable[Document]) -> str:
    """Documents as one YAML file."""
    return HEADER + yaml.dump_all(documents, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def render(checkout: Checkout) -> dict[str, str]:
    """Every file that is written, by its path in the checkout.

    Raises:
        RenderError: the requests don't fit the nodes, or the pools PostgreSQL's connections.
        ClosureError, LoadError: a tag can't be computed.
    """
    services = list(checkout.services.values())
    check_nodes(services)
    check_connections(services)
    files = {f"{service.name}.yaml": dump(manifests.service_documents(service)) for service in services}
    files["ingress.yaml"] = dump([ingress(services)])
    files["callers.yaml"] = dump(callers(services))
    files["kustomization.yaml"] = dump([_kustomization(resources=sorted(files))])
    files = {f"k8s/base/services/{name}": text for name, text in files.items()}
    tags = {image.name: image.tag for image in wanted(checkout)}
    files["k8s/images/jobs.yaml"] = dump(jobs(services, tags))
    files["k8s/images/kustomization.yaml"] = dump([_kustomization(resources=["jobs.yaml"])])
    for name, env in environments(checkout.root).items():
        files |= {f"k8s/overlays/{name}/{file}": text for file, text in overlay(env, tags, services).items()}
    return files


def _kustomization(**rest: Any) -> Document:
    return {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", **rest}


def ingress(services: Iterable[Service]) -> Document:
    """One path a prefix; before them those of functions that run by themselves."""
    paths: list[Document] = []
    conditions: dict[str, str] = {}
    apis = [service for service in services if not service.is_worker]
    for service in apis:
        for function in manifests.standalone(service):
            name = manifests.function_name(function, service)
            method, _, path = function.where.partition(" ")
            paths.append(_path(manifests.wildcard(path), "ImplementationSpecific", name))
            match = [{"field": "http-request-method", "httpRequestMethodConfig": {"Values": [method]}}]
            conditions[f"alb.ingress.kubernetes.io/conditions.{name}"] = json.dumps(match, separators=(",", ":"))
    paths += [_path(service.prefix, "Prefix", service.name) for service in apis]
    annotations = {
        "alb.ingress.kubernetes.io/scheme": "internet-facing",
        "alb.ingress.kubernetes.io/target-type": "ip",
        "alb.ingress.kubernetes.io/listen-ports": '[{"HTTP": 80}, {"HTTPS": 443}]',
        "alb.ingress.kubernetes.io/ssl-redirect": "443",
        "alb.ingress.kubernetes.io/ssl-policy": "ELBSecurityPolicy-TLS13-1-2-2021-06",
        "alb.ingress.kubernetes.io/certificate-arn": "set by the overlay",
        "alb.ingress.kubernetes.io/healthcheck-path": "/readyz",
        "alb.ingress.kubernetes.io/healthcheck-interval-seconds": "10",
        # An event stream is silent for up to 15 s between comment lines. The client's address is the entry that the load
        # balancer itself appends (TRUSTED_HOPS): with `preserve` a guesser would write it, and be a new address each time.
        "alb.ingress.kubernetes.io/load-balancer-attributes": (
            "idle_timeout.timeout_seconds=75,routing.http.xff_header_processing.mode=append"
        ),
        "alb.ingress.kubernetes.io/target-group-attributes": "deregistration_delay.timeout_seconds=15",
    }
    return document(
        "Ingress",
        "eco2",
        "networking.k8s.io/v1",
        metadata={"labels": labels("eco2"), "annotations": annotations | conditions},
        spec={"ingressClassName": "alb", "rules": [{"host": "set-by-the-overlay.invalid", "http": {"paths": paths}}]},
    )


def _path(path: str, kind: str, name: str) -> Document:
    return {
        "path": path,
        "pathType": kind,
        "backend": {"service": {"name": name, "port": {"number": manifests.PORT}}},
    }


def callers(services: list[Service]) -> list[Document]:
    """A policy for each service that others call."""
    found = []
    for callee in services:
        calling = [service for service in services if callee.name in service.calls]
        if calling:
            found.append(manifests.callers_policy(callee, calling))
    return found


def jobs(services: Iterable[Service], tags: dict[str, str]) -> list[Document]:
    """What runs once for each new tag: roles and schemas, then the migrations of each image. Waits for the database."""
    variables = [manifests.secret("POSTGRES_SUPERUSER_URL", "role-passwords")]
    roles = ["migrator", *sorted({service.database.role for service in load_services().values()})]
    variables += [
        {"name": f"PASSWORD_{role.upper()}", "valueFrom": {"secretKeyRef": {"name": "role-passwords", "key": role}}}
        for role in roles
    ]
    found = [
        _job(
            f"prepare-{tags[manifests.TOOLS]}",
            manifests.TOOLS,
            manifests.TOOLS,
            ["python3", "-m", "k8s.prepare"],
            variables,
            space=manifests.DATABASE_NAMESPACE,
            account=manifests.TOOLS,
        )
    ]
    found += [migration_job(service, tags[service.name]) for service in services if not service.is_worker]
    return [*found, migrations_policy()]


def migrations_policy() -> Document:
    """Lets the migrations reach the database, and nothing else."""
    space, name, port = manifests.STORES["postgres"]
    return document(
        "NetworkPolicy",
        "migrations",
        "networking.k8s.io/v1",
        metadata={"labels": labels("migrations")},
        spec={
            "podSelector": {"matchLabels": {"app.kubernetes.io/name": "migrations"}},
            "policyTypes": ["Ingress", "Egress"],
            "egress": [{"to": [manifests.elsewhere(space, name)], "ports": manifests.ports(port)}],
        },
    )


def migration_job(service: Service, tag: str, phase: str = "before") -> Document:
    """Applies what a service's image brings for its schema: before it runs, or what may only go after."""
    name = f"migrate-{service.short}-{tag}" + ("" if phase == "before" else f"-{phase}")
    command = ["python3", "-m", "runtime.migrate", "--wait", "300", "--phase", phase]
    variables = [manifests.secret("MIGRATION_DB_URL", "migrations")]
    return _job(name, "migrations", service.name, command, variables, account=service.name)


def _job(
    name: str,
    label: str,
    picture: str,
    command: list[str],
    variables: list[Document],
    *,
    account: str,
    space: str = manifests.NAMESPACE,
) -> Document:
    container = {
        "name": "job",
        "image": manifests.image(picture),
        "imagePullPolicy": "IfNotPresent",
        "command": command,
        "env": variables,
        "resources": manifests.resources("50m", "128Mi", "256Mi"),
        "securityContext": manifests.hardened(),
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 - a volume of the pod's own
    }
    pod = {
        "restartPolicy": "OnFailure",
        "serviceAccountName": account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "nodeSelector": {"eco2/node": "monitoring"},
        "securityContext": manifests.pod_rights(),
        "containers": [container],
        "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}}],
    }
    marks = labels(label) | {"eco2/uses-postgres": "true"}
    return document(
        "Job",
        name,
        "batch/v1",
        metadata={"namespace": space, "labels": labels(label)},
        spec={
            "backoffLimit": 6,
            "activeDeadlineSeconds": 900,
            "ttlSecondsAfterFinished": 86400,
            "template": {"metadata": {"labels": marks}, "spec": pod},
        },
    )


def overlay(env: Environment, tags: dict[str, str], services: list[Service]) -> dict[str, str]:
    """The files of one environment's overlay."""
    settings = {
        "S3_ENDPOINT_URL": env.s3_endpoint_url,
        "S3_BUCKET": env.bucket,
        "BACKUP_BUCKET": env.backup_bucket,
        "BACKUP_DAYS": str(env.backup_days),
        "CDN_BASE_URL": env.cdn_base_url,
        "AWS_REGION": env.region,
        "OPENAI_BASE_URL": env.openai_base_url,
        "TRUSTED_HOPS": "1",
        "LOG_FORMAT": "json",
        "LOG_LEVEL": "info",
        **manifests.provider_settings(),
        **env.settings,
    }
    maps = [
        document(
            "ConfigMap",
            manifests.SETTINGS,
            "v1",
            metadata={"namespace": space, "labels": labels("settings")},
            data=settings,
        )
        for space in (manifests.NAMESPACE, manifests.DATABASE_NAMESPACE)
    ]
    front = document(
        "NetworkPolicy",
        "load-balancer",
        "networking.k8s.io/v1",
        metadata={"labels": labels("eco2")},
        spec={
            "podSelector": {
                "matchExpressions": [_any_of(service.name for service in services if not service.is_worker)]
            },
            "policyTypes": ["Ingress"],
            "ingress": [
                {
                    "from": [{"ipBlock": {"cidr": cidr}} for cidr in env.load_balancer_cidrs],
                    "ports": manifests.ports(manifests.PORT),
                }
            ],
        },
    )
    certificate = "/metadata/annotations/alb.ingress.kubernetes.io~1certificate-arn"
    patches = [
        _patch(
            "Ingress",
            [
                {"op": "replace", "path": certificate, "value": env.certificate_arn},
                {"op": "replace", "path": "/spec/rules/0/host", "value": env.domain},
            ],
        )
    ]
    if env.small:
        scale = [{"op": "replace", "path": f"/spec/{edge}Replicas", "value": n} for edge, n in (("min", 1), ("max", 2))]
        patches.append(_patch("HorizontalPodAutoscaler", scale))
        anywhere = [{"op": "remove", "path": "/spec/template/spec/nodeSelector"}]
        patches += [_patch(kind, anywhere) for kind in ("Deployment", "StatefulSet", "Job")]
        path = "/spec/jobTemplate/spec/template/spec/nodeSelector"
        patches.append(_patch("CronJob", [{"op": "remove", "path": path}]))
    images = [
        {"name": manifests.image(name), "newName": f"{env.registry}/{name}", "newTag": tag}
        for name, tag in tags.items()
    ]
    top = _kustomization(resources=["../../base", "../../images", "settings.yaml"], images=images, patches=patches)
    return {"kustomization.yaml": dump([top]), "settings.yaml": dump([*maps, front])}


def _any_of(names: Iterable[str]) -> Document:
    return {"key": "eco2/service", "operator": "In", "values": sorted(names)}


def _patch(kind: str, operations: list[Document]) -> Document:
    return {"target": {"kind": kind}, "patch": yaml.dump(operations, Dumper=_Dumper, sort_keys=False, width=200)}


# What must hold


def check_nodes(services: Iterable[Service], root: Path = ROOT) -> dict[str, tuple[float, float]]:
    """Add up, for each node, the requests of all that runs there at its largest; return cores and MiB left.

    Raises:
        RenderError: a node is too small, or there is none of that label.
    """
    plan = yaml.safe_load((root / "k8s/nodes.yaml").read_text(encoding="utf-8"))
    kinds = plan["instances"]
    left = {
        node["label"]: (
            manifests.cores(kinds[node["instance"]]["cpu"]),
            manifests.mebibytes(kinds[node["instance"]]["memory"]),
        )
        for node in plan["nodes"]
    }
    documents = [document for service in services for document in manifests.service_documents(service)]
    for file in sorted((root / "k8s/base").glob("*/*.yaml")):
        if file.parent.name != "services" and file.name != "kustomization.yaml":
            documents += [found for found in yaml.safe_load_all(file.read_text(encoding="utf-8")) if found]
    scaled = {
        d["metadata"]["name"]: d["spec"]["maxReplicas"] for d in documents if d["kind"] == "HorizontalPodAutoscaler"
    }
    for found in documents:
        pod = pod_of(found)
        if pod is None:
            continue
        label = pod["nodeSelector"]["eco2/node"]
        if label not in left:
            raise RenderError(f"{found['metadata']['name']} wants a node {label}, which k8s/nodes.yaml does not have")
        replicas = scaled.get(found["metadata"]["name"], found["spec"].get("replicas", 1))
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            asked = container["resources"]["requests"]
            cpu, memory = left[label]
            left[label] = (
                cpu - replicas * manifests.cores(asked["cpu"]),
                memory - replicas * manifests.mebibytes(asked["memory"]),
            )
    small = [
        f"{label} ({cpu:.2f} cores, {memory:.0f}Mi)" for label, (cpu, memory) in left.items() if cpu < 0 or memory < 0
    ]
    if small:
        raise RenderError(f"the requests don't fit these nodes of k8s/nodes.yaml; they lack: {', '.join(small)}")
    return left


def pod_of(found: Document) -> Document | None:
    """The pod's specification in a workload, or None for anything else."""
    spec = found.get("spec") or {}
    if found["kind"] == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    if found["kind"] not in ("Deployment", "StatefulSet", "Job", "CronJob", "DaemonSet"):
        return None
    pod: Document = spec["template"]["spec"]
    return pod


def connections(services: Iterable[Service]) -> dict[str, int]:
    """The most connections that each service may hold: its pools at their largest, its relay or its syncer."""
    found = {}
    for service in services:
        # An API process has one more for the relay; beside a worker stands a syncer, with a connection of its own.
        each = service.database.pool + 1
        count = service.run.replicas if service.is_worker else manifests.largest(service)
        count += sum(
            (spec.replicas or service.run.replicas) * 2 for spec in service.functions.values() if spec.deployment
        )
        found[service.name] = each * count
    return found


def check_connections(services: Iterable[Service], root: Path = ROOT) -> int:
    """Return how many of PostgreSQL's connections stay free when everything runs at its largest.

    Raises:
        RenderError: none would.
    """
    text = (root / "k8s/base/postgres/postgresql.conf").read_text(encoding="utf-8")
    line = next(line for line in text.splitlines() if line.startswith("max_connections"))
    most = int(line.partition("=")[2])
    used = connections(services)
    free = most - HEADROOM - sum(used.values())
    if free < 0:
        listed = ", ".join(f"{name} {count}" for name, count in used.items())
        raise RenderError(f"all pools together ({listed}) leave {free} of max_connections = {most}")
    return free


# The command


def stale(checkout: Checkout, *, tags: bool = False) -> dict[str, str]:
    """What is not as `render` would write it: path to the text that should stand there; empty for one too many.

    Without `tags`, image tags don't count: each change of the code changes some, and a deploy sets the plan's own.
    """
    files = render(checkout)
    folders = ("k8s/base/services", "k8s/images", "k8s/overlays")
    there = {
        path.relative_to(checkout.root).as_posix()
        for folder in folders
        for path in (checkout.root / folder).rglob("*")
        if path.is_file()
    }
    found = dict.fromkeys(there - set(files), "")
    for path, text in files.items():
        file = checkout.root / path
        old = file.read_text(encoding="utf-8") if file.is_file() else ""
        if old != text and (tags or _TAG.sub("TAG", old) != _TAG.sub("TAG", text)):
            found[path] = text
    return dict(sorted(found.items()))


EXAMPLES = """\
eco2 render  # after a change of a service.toml
eco2 render --check  # for CI
"""
EXIT_CODES = {1: "a service.toml is wrong; with --check: the manifests are not current"}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = "Write the manifests that follow from the service.toml files, the code's tags among them."
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if more than tags would change")


def main(args: argparse.Namespace) -> int:
    checkout = Checkout()
    try:
        found = stale(checkout, tags=not args.check)
    except (RenderError, ClosureError, LoadError, ServiceError, UnknownEnvironment, ValueError) as error:
        print(f"eco2 render: {error}", file=sys.stderr)
        return 1
    for path, text in found.items():
        if args.check:
            print(f"{path} is not current: run `eco2 render`")
            continue
        file = checkout.root / path
        if text:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8", newline="\n")
        else:
            file.unlink()
        print(path)
    return 1 if found and args.check else 0
