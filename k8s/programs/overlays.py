"""The files of one environment's overlay: its settings and what it changes in the base."""

from typing import Any

from k8s.programs.environments import Environment
from k8s.programs.templates import Document, dump, fill
from k8s.programs.variables import own_settings, provider_settings
from runtime.services import Service


def kustomization(**rest: Any) -> Document:
    """A kustomization's own document."""
    return {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", **rest}


def settings(env: Environment, services: list[Service]) -> dict[str, str]:
    """What an environment sets, by the variable's name."""
    return {
        "S3_ENDPOINT_URL": env.s3_endpoint_url,
        "S3_BUCKET": env.bucket,
        "BACKUP_BUCKET": env.backup_bucket,
        "BACKUP_DAYS": str(env.backup_days),
        "CDN_BASE_URL": env.cdn_base_url,
        "AWS_REGION": env.region,
        "OPENAI_BASE_URL": env.openai_base_url,
        "TRUSTED_HOPS": "1",
        "CORS_ORIGINS": "",
        "API_DOCS": "false",
        "LOG_FORMAT": "json",
        "LOG_LEVEL": "info",
        **provider_settings(),
        **own_settings(services),
        "PUBLIC_URL": f"https://{env.domain}",
        **env.settings,
    }


def overlay(env: Environment, services: list[Service]) -> dict[str, list[Document]]:
    """What the files of an overlay say, by name."""
    made = fill(
        "settings",
        settings=settings(env, services),
        services=sorted(service.name for service in services if not service.is_worker),
        networks=[{"ipBlock": {"cidr": cidr}} for cidr in env.load_balancer_cidrs],
    )
    certificate = "/metadata/annotations/alb.ingress.kubernetes.io~1certificate-arn"
    patches = [
        patch(
            "Ingress",
            {"op": "replace", "path": certificate, "value": env.certificate_arn},
            {"op": "replace", "path": "/spec/rules/0/host", "value": env.domain},
        )
    ]
    if env.small:
        patches += _small(services)
    beside = {"components": [f"../../components/{name}" for name in env.components]} if env.components else {}
    top = kustomization(resources=["../../base", "settings.yaml"], **beside, patches=patches)
    return {"kustomization.yaml": [top], "settings.yaml": made}


def _small(services: list[Service]) -> list[Document]:
    """One replica of everything, on whatever node has room, on small volumes."""
    scale = [{"op": "replace", "path": f"/spec/{edge}Replicas", "value": n} for edge, n in (("min", 1), ("max", 2))]
    patches = [patch("HorizontalPodAutoscaler", *scale)]
    anywhere = {"nodeSelector": None, "affinity": None}
    patches += [_merge(kind, {"template": {"spec": anywhere}}) for kind in ("Deployment", "StatefulSet")]
    patches.append(_merge("CronJob", {"jobTemplate": {"spec": {"template": {"spec": anywhere}}}}))
    # One pod alone must not go before its successor is there.
    surge = {"op": "replace", "path": "/spec/strategy/rollingUpdate", "value": {"maxSurge": 1, "maxUnavailable": 0}}
    patches.append(patch("Deployment", surge, labels="eco2/service"))
    volumes = {"k8s-postgresql": "10Gi", "broker": "2Gi", "prometheus": "5Gi"}
    volumes |= {service.name: "5Gi" for service in services if service.is_worker}
    path = "/spec/volumeClaimTemplates/0/spec/resources/requests/storage"
    return patches + [
        patch("StatefulSet", {"op": "replace", "path": path, "value": size}, name=name)
        for name, size in volumes.items()
    ]


def _merge(kind: str, spec: Document) -> Document:
    """A merge patch of all objects of a kind: fields that are None go, where they are."""
    version = "batch/v1" if kind == "CronJob" else "apps/v1"
    found = {"apiVersion": version, "kind": kind, "metadata": {"name": "any"}, "spec": spec}
    return {"target": {"kind": kind}, "patch": dump([found], header="")}


def patch(kind: str, *operations: Document, name: str = "", labels: str = "") -> Document:
    """A JSON patch of all objects of a kind, of those with a label, or of one."""
    target = {"kind": kind} | ({"name": name} if name else {}) | ({"labelSelector": labels} if labels else {})
    return {"target": target, "patch": dump([list(operations)], header="")}  # type: ignore[list-item]  # a JSON patch is a list, not an object
