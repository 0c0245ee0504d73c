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
        "LOG_FORMAT": "json",
        "LOG_LEVEL": "info",
        **provider_settings(),
        **own_settings(services),
        "PUBLIC_URL": f"https://{env.domain}",
        **env.settings,
    }


def overlay(env: Environment, services: list[Service]) -> dict[str, str]:
    """The files of an overlay, by name."""
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
        patches += _small()
    top = kustomization(resources=["../../base", "settings.yaml"], patches=patches)
    return {"kustomization.yaml": dump([top]), "settings.yaml": dump(made)}


def _small() -> list[Document]:
    """One replica of everything, on whatever node has room."""
    scale = [{"op": "replace", "path": f"/spec/{edge}Replicas", "value": n} for edge, n in (("min", 1), ("max", 2))]
    anywhere = {"op": "remove", "path": "/spec/template/spec/nodeSelector"}
    patches = [patch("HorizontalPodAutoscaler", *scale)]
    patches += [patch(kind, anywhere) for kind in ("Deployment", "StatefulSet")]
    return [*patches, patch("CronJob", {**anywhere, "path": "/spec/jobTemplate/spec/template/spec/nodeSelector"})]


def patch(kind: str, *operations: Document, name: str | None = None) -> Document:
    """A JSON patch of all objects of a kind, or of one."""
    target = {"kind": kind} | ({"name": name} if name else {})
    return {"target": target, "patch": dump([list(operations)], header="")}  # type: ignore[list-item]
