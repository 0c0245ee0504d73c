"""The Kubernetes objects that follow from a service.toml, as plain dictionaries. `k8s.render` writes them as YAML."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec

from runtime.closure import WORKER, digest
from runtime.loader import Function, discover
from runtime.services import ROOT, Service, seconds
from shared.settings import Settings

Document = dict[str, Any]

NAMESPACE = "eco2"
DATABASE_NAMESPACE = "database"
MONITORING_NAMESPACE = "monitoring"
PORT = 8000
WORKER_PORT, SYNCER_PORT, JOURNALS_PORT = 8001, 8002, 8003
USER = 10001
# The load balancer learns of a pod's end while it still answers.
DRAIN = 10
SETTINGS = "eco2-settings"
JOURNAL = "/journal/worker.db"
TOOLS = "tools"
# Kubernetes requests of the two processes beside a worker.
BESIDE = {"cpu": "50m", "memory": "128Mi"}
# An image's own name; the overlay's component `images` gives it registry and tag.
PLACEHOLDER = "eco2.local"


def mebibytes(quantity: str) -> float:
    """A Kubernetes quantity of memory in MiB."""
    return float(quantity[:-2]) * {"Ki": 1 / 1024, "Mi": 1, "Gi": 1024}[quantity[-2:]]


def cores(quantity: str) -> float:
    """A Kubernetes quantity of processors."""
    return float(quantity[:-1]) / 1000 if quantity.endswith("m") else float(quantity)


def image(name: str) -> str:
    """The name that the base gives an image."""
    return f"{PLACEHOLDER}/{name}"


def labels(name: str, service: str | None = None) -> dict[str, str]:
    """The labels of an object; the first is what selectors match."""
    found = {"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "eco2"}
    return found | ({"eco2/service": service} if service else {})


def document(kind: str, name: str, api: str, **rest: Any) -> Document:
    """An object in our namespace."""
    metadata = {"name": name, "namespace": NAMESPACE, **rest.pop("metadata", {})}
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **rest}


def secret(variable: str, name: str, *, optional: bool = False) -> Document:
    """An environment variable from a Secret's key of the same name."""
    reference: Document = {"name": name, "key": variable}
    return {"name": variable, "valueFrom": {"secretKeyRef": reference | ({"optional": True} if optional else {})}}


def setting(variable: str) -> Document:
    """An environment variable from the overlay's settings."""
    return {"name": variable, "valueFrom": {"configMapKeyRef": {"name": SETTINGS, "key": variable}}}


def value(variable: str, text: object) -> Document:
    """An environment variable as it stands."""
    return {"name": variable, "value": str(text)}


def object_store() -> list[Document]:
    """How to reach S3: with keys where there is a Secret, else by what the ServiceAccount was given (IRSA).

    A node's own rights are out of reach: the network policies close the instance metadata to every pod.
    """
    found = [setting(name) for name in ("S3_ENDPOINT_URL", "S3_BUCKET", "CDN_BASE_URL", "AWS_REGION")]
    return [*found, *(secret(name, "object-store", optional=True) for name in AWS_KEYS)]


AWS_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


def secret_file(variable: str) -> tuple[str, str]:
    """The Secret of a variable that names a file, and where it is mounted: AUTH_SIGNING_KEY_FILE is `auth-signing-key`."""
    name = variable.removesuffix("_FILE").lower().replace("_", "-")
    return name, f"/keys/{name}"


def environment(service: Service) -> list[Document]:
    """What a service's containers find in their environment."""
    found = [secret(service.database.env, service.name)]
    found += [secret(f"{part.upper()}_REDIS_URL", service.name) for part in ("broker", "cache") if part in service.uses]
    found += object_store() if "objects" in service.uses else []
    found += [setting(name) for name in service.egress]
    found += [setting(name) for name in provider_settings() if service.egress]
    for variable in (*service.secrets.required, *service.secrets.optional):
        if variable.endswith("_FILE"):
            found.append(value(variable, f"{secret_file(variable)[1]}/value"))
        else:
            found.append(secret(variable, service.name, optional=variable in service.secrets.optional))
    if service.calls:
        found.append(value("SERVICE_URLS", ",".join(f"{name}=http://{name}:{PORT}" for name in service.calls)))
    if not service.is_worker:
        found += [value("AUTH_JWKS_FILE", "/keys/jwks/jwks.json"), value("PORT", PORT)]
        found.append(setting("TRUSTED_HOPS"))
    if service.journal:
        found.append(value("JOURNAL_PATH", JOURNAL))
        found.append(value("JOURNAL_SYNC_SECONDS", f"{seconds(service.journal.sync):g}"))
    return [*found, value("HOST", "0.0.0.0"), setting("LOG_FORMAT"), setting("LOG_LEVEL")]  # noqa: S104 - a pod's own


def provider_settings() -> dict[str, str]:
    """What can be set about the provider of answers, with its defaults: models, prices, and what may be spent."""
    return {
        field.name.upper(): f"{field.default:g}" if isinstance(field.default, float) else str(field.default)
        for field in msgspec.structs.fields(Settings)
        if field.name.startswith(("openai_", "ai_")) and field.name not in ("openai_base_url", "openai_api_key")
    }


def hardened() -> Document:
    """A container's rights: none."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
    }


def pod_rights(user: int = USER) -> Document:
    """A pod's rights, by the standard `restricted`."""
    profile = {"seccompProfile": {"type": "RuntimeDefault"}}
    return {"runAsNonRoot": True, "runAsUser": user, "runAsGroup": user, "fsGroup": user, **profile}


def probes(port: int | str, *, start: int = 30) -> Document:
    """Started within `start` seconds, alive, and ready: the three questions to one process."""

    def ask(path: str, **rest: int) -> Document:
        return {"httpGet": {"path": path, "port": port}, "timeoutSeconds": 3, **rest}

    return {
        "startupProbe": ask("/healthz", periodSeconds=1, failureThreshold=start),
        "livenessProbe": ask("/healthz", periodSeconds=10, failureThreshold=3),
        "readinessProbe": ask("/readyz", periodSeconds=5, failureThreshold=2),
    }


def resources(cpu: str, request: str, limit: str) -> Document:
    """No limit of cpu: a limit delays answers while cores stand idle."""
    return {"requests": {"cpu": cpu, "memory": request}, "limits": {"memory": limit}}


def made(root: Path = ROOT) -> dict[str, Any]:
    """The services whose image holds what was made for it, in /eco2/made."""
    found: dict[str, Any] = tomllib.loads((root / "k8s/image.toml").read_text(encoding="utf-8")).get("made", {})
    return found


def half(quantity: str) -> str:
    """Half of a quantity of memory."""
    return f"{mebibytes(quantity) / 2:g}Mi"


def largest(service: Service) -> int:
    """The most replicas that the autoscaler may run."""
    return service.run.replicas * 2


def standalone(service: Service) -> list[Function]:
    """The functions that run as a Deployment of their own.

    Raises:
        ValueError: one is not an HTTP function of the service.
    """
    functions = {function.name: function for function in discover(service)}
    found = []
    for name, spec in service.functions.items():
        if spec.deployment:
            if name not in functions or functions[name].trigger != "http":
                raise ValueError(f"{service.folder}/service.toml: [functions.{name}] is no HTTP function")
            found.append(functions[name])
    return found


def service_documents(service: Service) -> list[Document]:
    """Everything of one service."""
    documents = [document("ServiceAccount", service.name, "v1", automountServiceAccountToken=False)]
    documents[0]["metadata"]["labels"] = labels(service.name, service.name)
    if service.is_worker:
        return [*documents, *_worker(service), network_policy(service)]
    documents += _api(service, service.name, service.folder, service.run.replicas)
    for function in standalone(service):
        replicas = service.functions[function.name].replicas or service.run.replicas
        documents += _api(service, function_name(function, service), f"{service.folder}/{function.name}", replicas)
    return [*documents, network_policy(service)]


def function_name(function: Function, service: Service) -> str:
    """`api-waste-create-analysis`."""
    return f"{service.name}-{function.name.replace('_', '-')}"


def _pod(service: Service, name: str, spec: Document) -> Document:
    return {
        "metadata": {
            "labels": labels(name, service.name) | {f"eco2/uses-{part}": "true" for part in sorted(service.uses)},
            "annotations": {"prometheus.io/scrape": "true"},
        },
        "spec": {
            "serviceAccountName": service.name,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "nodeSelector": {"eco2/node": service.run.node},
            "securityContext": pod_rights(),
            **spec,
        },
    }


def _volumes(service: Service) -> tuple[list[Document], list[Document]]:
    volumes: list[Document] = [{"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}}]
    mounts: list[Document] = [{"name": "tmp", "mountPath": "/tmp"}]  # noqa: S108 - a volume of the pod's own
    if not service.is_worker:
        volumes.append({"name": "jwks", "configMap": {"name": "jwks"}})
        mounts.append({"name": "jwks", "mountPath": "/keys/jwks", "readOnly": True})
    for variable in (*service.secrets.required, *service.secrets.optional):
        if variable.endswith("_FILE"):
            name, path = secret_file(variable)
            volumes.append({"name": name, "secret": {"secretName": name, "defaultMode": 0o440}})
            mounts.append({"name": name, "mountPath": path, "readOnly": True})
    return volumes, mounts


def _api(service: Service, name: str, target: str, replicas: int) -> list[Document]:
    volumes, mounts = _volumes(service)
    container = {
        "name": "host",
        "image": image(service.name),
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-m", "runtime.http.host", target],
        "ports": [{"name": "http", "containerPort": PORT}],
        "env": environment(service),
        "resources": resources(service.run.cpu, half(service.run.memory), service.run.memory),
        **probes("http"),
        "lifecycle": {"preStop": {"exec": {"command": ["sleep", str(DRAIN)]}}},
        "securityContext": hardened(),
        "volumeMounts": mounts,
    }
    pod = {
        "terminationGracePeriodSeconds": int(seconds(service.run.grace)) + DRAIN,
        "containers": [container],
        "volumes": volumes,
    }
    selector = {"matchLabels": {"app.kubernetes.io/name": name}}
    own = {"labels": labels(name, service.name)}
    return [
        document(
            "Deployment",
            name,
            "apps/v1",
            metadata=own,
            # How many pods is the autoscaler's to say: a number here would take back what it added, at each deploy.
            spec={
                "revisionHistoryLimit": 5,
                "progressDeadlineSeconds": 180,
                # No pod more than the node was measured for, and never none.
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}},
                "selector": selector,
                "template": _pod(service, name, pod),
            },
        ),
        document(
            "Service",
            name,
            "v1",
            metadata=own,
            spec={
                "selector": {"app.kubernetes.io/name": name},
                "ports": [{"name": "http", "port": PORT, "targetPort": "http"}],
            },
        ),
        document(
            "HorizontalPodAutoscaler",
            name,
            "autoscaling/v2",
            metadata=own,
            spec={
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
                "minReplicas": replicas,
                "maxReplicas": replicas * 2,
                "metrics": [
                    {
                        "type": "Resource",
                        "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}},
                    }
                ],
                "behavior": {"scaleDown": {"stabilizationWindowSeconds": 300}},
            },
        ),
        _budget(name, own),
    ]


def _budget(name: str, own: Document) -> Document:
    # One node a service: `minAvailable` would keep that node from ever being drained.
    spec = {"maxUnavailable": 1, "selector": {"matchLabels": {"app.kubernetes.io/name": name}}}
    return document("PodDisruptionBudget", name, "policy/v1", metadata=own, spec=spec)


def _worker(service: Service) -> list[Document]:
    assert service.journal is not None
    volumes, mounts = _volumes(service)
    mounts = [*mounts, {"name": "journal", "mountPath": "/journal"}]
    grace = int(seconds(service.run.grace))
    variables = environment(service)

    def beside(name: str, port: int, picture: str, command: list[str], extra: list[Document]) -> Document:
        # A native sidecar (Kubernetes 1.29): started before the worker, ended after it, so that it drains last.
        return {
            "name": name,
            "image": image(picture),
            "imagePullPolicy": "IfNotPresent",
            "restartPolicy": "Always",
            "command": command,
            "ports": [{"name": name, "containerPort": port}],
            "env": [*extra, value("HEALTH_PORT", port)],
            "resources": resources(BESIDE["cpu"], BESIDE["memory"], BESIDE["memory"]),
            **probes(name),
            "securityContext": hardened(),
            "volumeMounts": mounts,
        }

    own_env = {"JOURNAL_PATH", "HOST", "LOG_FORMAT", "LOG_LEVEL"}
    journals = [entry for entry in variables if entry["name"] in own_env]
    journals += [*object_store(), setting("BACKUP_BUCKET")]
    container = {
        "name": "worker",
        "image": image(service.name),
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-m", WORKER[0], service.folder],
        "ports": [{"name": "worker", "containerPort": WORKER_PORT}],
        "env": [*variables, value("HEALTH_PORT", WORKER_PORT)],
        "resources": resources(service.run.cpu, service.run.memory, service.run.memory),
        **probes("worker", start=60),
        "securityContext": hardened(),
        "volumeMounts": mounts,
    }
    if service.folder in made():
        container["env"] = [*variables, value("MODEL_DIR", "/eco2/made"), value("HEALTH_PORT", WORKER_PORT)]
    pod = {
        "terminationGracePeriodSeconds": grace + 30,
        "initContainers": [
            beside("syncer", SYNCER_PORT, service.name, ["python3", "-m", WORKER[1], service.folder], variables),
            beside("journals", JOURNALS_PORT, TOOLS, ["python3", "-m", "k8s.journals", service.folder], journals),
        ],
        "containers": [container],
        "volumes": volumes,
    }
    claim = {
        "metadata": {"name": "journal"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "gp3",
            "resources": {"requests": {"storage": service.journal.volume}},
        },
    }
    own = {"labels": labels(service.name, service.name)}
    return [
        document(
            "StatefulSet",
            service.name,
            "apps/v1",
            metadata=own,
            spec={
                "serviceName": service.name,
                "replicas": service.run.replicas,
                "revisionHistoryLimit": 5,
                "podManagementPolicy": "Parallel",
                # A lost claim loses unsynced records; deleting the set keeps its claims.
                "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
                "selector": {"matchLabels": {"app.kubernetes.io/name": service.name}},
                "template": _pod(service, service.name, pod),
                "volumeClaimTemplates": [claim],
            },
        ),
        document(
            "Service",
            service.name,
            "v1",
            metadata=own,
            spec={
                "clusterIP": "None",
                "selector": {"app.kubernetes.io/name": service.name},
                "ports": [{"name": "worker", "port": WORKER_PORT, "targetPort": "worker"}],
            },
        ),
        _budget(service.name, own),
    ]


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


def network_policy(service: Service) -> Document:
    """What a service may reach and who may reach it: the arrows of its service.toml, and the eyes of monitoring."""
    egress = []
    for use in service.uses:
        if use in STORES:
            space, name, port = STORES[use]
            egress.append({"to": [elsewhere(space, name) if space else pods(name)], "ports": ports(port)})
    # A worker's journal is copied to the object store, whatever its functions use.
    if "objects" in service.uses or service.egress or service.is_worker:
        egress.append({"to": [INTERNET], "ports": ports(443)})
    egress += [{"to": [pods(name)], "ports": ports(PORT)} for name in service.calls]
    listening = [WORKER_PORT, SYNCER_PORT, JOURNALS_PORT] if service.is_worker else [PORT]
    ingress = [{"from": [elsewhere(MONITORING_NAMESPACE, "prometheus")], "ports": ports(*listening)}]
    return document(
        "NetworkPolicy",
        service.name,
        "networking.k8s.io/v1",
        metadata={"labels": labels(service.name, service.name)},
        spec={
            "podSelector": {"matchLabels": {"eco2/service": service.name}},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": ingress,
            "egress": egress,
        },
    )


def callers_policy(callee: Service, callers: list[Service]) -> Document:
    """Lets the callers of a service in."""
    return document(
        "NetworkPolicy",
        f"{callee.name}-callers",
        "networking.k8s.io/v1",
        metadata={"labels": labels(callee.name, callee.name)},
        spec={
            "podSelector": {"matchLabels": {"app.kubernetes.io/name": callee.name}},
            "policyTypes": ["Ingress"],
            "ingress": [{"from": [pods(caller.name) for caller in callers], "ports": ports(PORT)}],
        },
    )


def wildcard(path: str) -> str:
    """A route as the load balancer writes it: `/analyses/{id:uuid}` is `/analyses/*`."""
    return re.sub(r"\{[^}]*\}", "*", path)


def manifest_digest(service: Service) -> str:
    """The digest of a service's manifests, tags aside."""
    return digest(json.dumps(service_documents(service), sort_keys=True).encode())[:16]
