"""Files for the first hour of a cluster that follow from nodes.yaml and the service.toml files: EKS, and Secrets from a vault."""

import json

from k8s.programs.environments import Environment
from k8s.programs.room import node_plan
from k8s.programs.secrets import SOURCES, from_passwords, roles
from k8s.programs.templates import Document, fill
from runtime.closure import Checkout
from runtime.services import Service


def bootstrap_files(checkout: Checkout, env: Environment) -> dict[str, list[Document]]:
    """What the files say, by their path in the checkout."""
    services = list(checkout.services.values())
    return {
        "k8s/bootstrap/eks.yaml": _eks(node_plan(checkout.root), services, env),
        "k8s/components/external-secrets/secrets.yaml": _external_secrets(checkout),
    }


def _eks(plan: Document, services: list[Service], env: Environment) -> list[Document]:
    eks = plan["platforms"]["eks"]
    at = {one["name"]: _at(one["nodes"]) for one in [*eks["daemonsets"], *eks["others"]] if "nodes" in one}
    pods = eks["pods"]
    groups = [
        {
            "name": node["name"],
            "instanceType": node["instance"],
            "desiredCapacity": 1,
            "minSize": 0,
            "maxSize": 2,  # a second of the same label, while the first is replaced
            "availabilityZones": [plan["zone"]],
            "maxPodsPerNode": pods[node["instance"]],
            "privateNetworking": True,
            "labels": {"eco2/node": node["label"]},
            "volumeSize": 30,
        }
        for node in plan["nodes"]
        if node["label"] != "control-plane"
    ]
    photographs = [s.name for s in services if "objects" in s.uses]
    backups = [s.name for s in services if s.is_worker]
    accounts = [
        _account(
            "eco2", name, *(["photographs"] if name in photographs else []), *(["backups"] if name in backups else [])
        )
        for name in sorted({*photographs, *backups})
    ]
    accounts.append(_account("database", "tools", "backups"))
    if "logs" in env.components:
        accounts.append(_account("logging", "vector", "logs"))
    zones = [plan["zone"], plan["zone"][:-1] + "c"]  # the control plane and the load balancer want two
    return fill(
        "eks",
        region=env.region,
        zones=zones,
        accounts=accounts,
        dns=json.dumps(at["coredns"]),
        metrics=json.dumps(at["metrics-server"]),
        csi=json.dumps({"node": at["ebs-csi-node"], "controller": at["ebs-csi-controller"]}),
        groups=groups,
    )


def _at(labels: list[str]) -> Document:
    """The affinity of an add-on's pods to nodes of some labels."""
    where = {"key": "eco2/node", "operator": "In", "values": labels}
    terms = {"nodeSelectorTerms": [{"matchExpressions": [where]}]}
    return {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}}


def _account(space: str, name: str, *policies: str) -> Document:
    return {
        "metadata": {"namespace": space, "name": name},
        "attachPolicyARNs": [f"arn:aws:iam::000000000000:policy/eco2-{policy}" for policy in policies],
        "roleOnly": True,  # the account itself is `eco2 deploy`'s
    }


def _external_secrets(checkout: Checkout) -> list[Document]:
    services = checkout.services
    passwords = dict.fromkeys([*SOURCES, *roles(services)], "")
    places = [*from_passwords(passwords, services), ("eco2", "auth-signing-key")]
    return [found for space, name in places for found in fill("external-secret", space=space, name=name)]
