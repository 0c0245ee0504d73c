"""The runbook's commands are those that exist, and the files of the first hour fit nodes.yaml and each other."""

import json
import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from k8s.programs.capacity import capacity
from k8s.programs.render import render, stale
from k8s.programs.room import empty, loads, node_plan
from k8s.programs.templates import Document, read
from runtime.cli import COMMANDS, manual
from runtime.closure import Checkout
from runtime.services import ROOT, load_services
from tests.k8s.conftest import kubectl_or_skip

RUNBOOK = (ROOT / "k8s/RUNBOOK.md").read_text(encoding="utf-8")


def commands(program: str) -> list[str]:
    """The commands of a program that the runbook quotes, each in one line."""
    quoted = re.findall(r"`([^`]+)`", RUNBOOK)
    found = [" ".join(text.split()) for text in quoted]
    return sorted({text for text in found if text.startswith(f"{program} ")})


@pytest.mark.parametrize("command", commands("eco2"))
def test_every_command_of_ours_is_understood(command: str) -> None:
    plain = re.sub(r"\[[^]]*\]|…", "", command)
    _, name, *rest = shlex.split(plain.replace("|", " "))
    assert name in COMMANDS
    if name in ("plan", "deploy", "build", "rotate", "secrets", "capacity", "render", "restore", "backup"):
        # Words in capitals are the reader's to fill in.
        manual(name).parse_args([word for word in rest if word not in ("...",)])


@pytest.mark.parametrize("command", commands("kubectl"))
def test_every_kubectl_command_is_one_that_kubectl_knows(command: str) -> None:
    """Each option by kubectl's own help: `kubectl drain` without `--delete-emptydir-data` was here for a year."""
    words = shlex.split(command)[1:]
    while words and words[0] in ("-n", "--namespace"):
        words = words[2:]
    verb = words[:2] if words[0] in ("rollout", "create") else words[:1]
    if verb[0] == "create":
        verb = words[:3] if words[1] == "secret" else words[:2]
    if "--" in words:
        words = words[: words.index("--")]
    done = subprocess.run([kubectl_or_skip(), *verb, "--help"], capture_output=True, text=True, check=True)
    everywhere = subprocess.run([kubectl_or_skip(), "options"], capture_output=True, text=True, check=True)
    known = done.stdout + everywhere.stdout
    for word in words:
        if re.match(r"--?[a-zA-Z]", word):
            option = word.partition("=")[0]
            assert re.search(rf"(^|[\s,]){re.escape(option)}[=,\s]", known), (
                f"{option} is no option of kubectl {' '.join(verb)}"
            )


def test_a_drain_says_all_that_a_drain_of_ours_needs() -> None:
    for command in commands("kubectl"):
        if command.startswith("kubectl drain"):
            assert {"--ignore-daemonsets", "--delete-emptydir-data"} <= set(command.split())


def documents(*path: str) -> list[Document]:
    return read((ROOT / "k8s" / Path(*path)).read_text(encoding="utf-8"))


def test_kubeadm_reserves_what_nodes_yaml_counts_with() -> None:
    kubelet = next(d for d in documents("bootstrap", "kubeadm.yaml") if d["kind"] == "KubeletConfiguration")
    reserved = [int(kubelet[part]["memory"].removesuffix("Mi")) for part in ("kubeReserved", "systemReserved")]
    threshold = int(kubelet["evictionHard"]["memory.available"].removesuffix("Mi"))
    # A t3.micro has 940Mi as its kernel tells it.
    assert (
        node_plan()["platforms"]["kubeadm"]["instances"]["t3.micro"]["memory"] == f"{940 - sum(reserved) - threshold}Mi"
    )
    # A drain by shutdown takes no longer than the longest grace of ours.
    longest = 120
    assert (
        int(kubelet["shutdownGracePeriod"].removesuffix("s"))
        - int(kubelet["shutdownGracePeriodCriticalPods"].removesuffix("s"))
        >= longest
    )
    labels = documents("bootstrap", "kubeadm-join.yaml")[0]["nodeRegistration"]["kubeletExtraArgs"]
    assert {"name": "node-labels", "value": "eco2/node=LABEL"} in labels


def test_eks_has_the_nodes_of_nodes_yaml_in_one_zone() -> None:
    (found,) = documents("bootstrap", "eks.yaml")
    plan = node_plan()
    groups = {group["name"]: group for group in found["managedNodeGroups"]}
    assert set(groups) == {node["name"] for node in plan["nodes"]} - {"k8s-master"}
    for node in plan["nodes"]:
        if node["name"] in groups:
            group = groups[node["name"]]
            assert group["labels"] == {"eco2/node": node["label"]}
            assert group["instanceType"] == node["instance"]
            assert group["availabilityZones"] == [plan["zone"]]
            pods = group["maxPodsPerNode"]
            memory = {"t3.micro": 940, "t3.small": 1930, "t3.medium": 3845, "t3a.medium": 3845}[node["instance"]]
            left = plan["platforms"]["eks"]["instances"][node["instance"]]["memory"]
            assert left == f"{memory - (255 + 11 * pods) - 100}Mi", (
                "EKS reserves 255Mi + 11Mi a pod, and 100Mi to evict"
            )


def test_eks_keeps_what_others_bring_where_nodes_yaml_counts_it() -> None:
    (found,) = documents("bootstrap", "eks.yaml")
    given = {addon["name"]: json.loads(addon.get("configurationValues", "{}")) for addon in found["addons"]}
    at = {
        "coredns": given["coredns"],
        "metrics-server": given["metrics-server"],
        "ebs-csi-controller": given["aws-ebs-csi-driver"]["controller"],
    }
    others = {one["name"]: one["nodes"] for one in node_plan()["platforms"]["eks"]["others"]}
    assert at.keys() <= others.keys()
    for name, values in at.items():
        rule = values["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        (expression,) = rule["nodeSelectorTerms"][0]["matchExpressions"]
        assert (expression["key"], expression["values"]) == ("eco2/node", others[name])


@pytest.mark.parametrize("platform", ["kubeadm", "eks"])
def test_what_others_bring_is_taken_from_the_node_it_is_on(platform: str) -> None:
    plan = node_plan()
    (one, *_) = plan["platforms"][platform]["others"]
    with_it = empty(plan, platform)
    plan["platforms"][platform]["others"].remove(one)
    without = empty(plan, platform)
    assert {label for label, room in with_it.items() if without[label] != room} == set(one["nodes"])


def test_whoever_reaches_s3_has_a_role_and_no_one_else() -> None:
    (found,) = documents("bootstrap", "eks.yaml")
    roles = {
        (a["metadata"]["namespace"], a["metadata"]["name"]): a["attachPolicyARNs"]
        for a in found["iam"]["serviceAccounts"]
    }
    expected = {("eco2", s.name) for s in load_services().values() if "objects" in s.uses or s.is_worker}
    assert set(roles) == expected | {("database", "tools")}
    names = {file.stem for file in (ROOT / "k8s/bootstrap/iam").glob("*.json")}
    # The third is of the component that ships logs, where an environment has it.
    assert {arn.rpartition("/eco2-")[2] for arns in roles.values() for arn in arns} == names - {"logs"}
    for file in (ROOT / "k8s/bootstrap/iam").glob("*.json"):
        for statement in json.loads(file.read_text(encoding="utf-8"))["Statement"]:
            assert statement["Action"] != "*"
            assert "*" not in (
                statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]]
            )


@pytest.mark.parametrize("component", ["external-secrets", "logs", "pull-secret"])
def test_a_component_can_be_added_to_an_overlay(component: str, checkout: Path) -> None:
    toml = checkout / "k8s/environments.toml"
    text = toml.read_text(encoding="utf-8").replace("components = []", f'components = ["{component}"]')
    toml.write_text(text.replace('region = "ap-northeast-2"', 'region = "eu-west-1"'), encoding="utf-8")
    # What a deploy asks for first: that render has nothing to write.
    written = render(Checkout(checkout))
    for path, content in written.items():
        (checkout / path).write_text(content, encoding="utf-8")
    assert stale(Checkout(checkout)) == {}
    assert ("namespace: logging" in written["k8s/bootstrap/eks.yaml"]) == (component == "logs")
    top = checkout / "k8s/overlays/prod"
    done = subprocess.run([kubectl_or_skip(), "kustomize", str(top)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    made = read(done.stdout)
    kinds = {found["kind"] for found in made}
    here = [found for found in made if found["metadata"]["name"] in ("vector", "eco2")]
    if component == "external-secrets":
        (store,) = [found for found in here if found["kind"] == "ClusterSecretStore"]
        assert store["spec"]["provider"]["aws"]["region"] == "eu-west-1"
        assert {"ExternalSecret", "ClusterSecretStore"} <= kinds
    if component == "logs":
        (vector,) = [found for found in here if found["kind"] == "DaemonSet"]
        (container,) = vector["spec"]["template"]["spec"]["containers"]
        values = {entry["name"]: entry.get("value") for entry in container["env"]}
        assert (values["LOG_BUCKET"], values["AWS_REGION"]) == ("eco2-backups", "eu-west-1")
        # Nothing that it reads is somebody else's to make.
        maps = {
            (found["metadata"]["namespace"], found["metadata"]["name"])
            for found in made
            if found["kind"] == "ConfigMap"
        }
        mounted = [
            volume["configMap"]["name"]
            for volume in vector["spec"]["template"]["spec"]["volumes"]
            if "configMap" in volume
        ]
        assert all(("logging", name) in maps for name in mounted)
        assert not [entry for entry in container["env"] if "configMapKeyRef" in entry.get("valueFrom", {})]
    if component == "pull-secret":
        accounts = [found for found in made if found["kind"] == "ServiceAccount"]
        assert all(found["imagePullSecrets"] == [{"name": "registry"}] for found in accounts)


def test_alerts_go_where_their_severity_says() -> None:
    config = yaml.safe_load((ROOT / "k8s/base/monitoring/alertmanager.yml").read_text(encoding="utf-8"))
    receivers = {receiver["name"] for receiver in config["receivers"]}
    assert receivers == {"page", "ticket"}
    assert config["route"]["receiver"] == "ticket"
    assert [(r["matchers"], r["receiver"]) for r in config["route"]["routes"]] == [(['severity="page"'], "page")]
    rules = yaml.safe_load((ROOT / "k8s/base/monitoring/rules.yml").read_text(encoding="utf-8"))
    severities = {rule["labels"]["severity"] for group in rules["groups"] for rule in group["rules"]}
    assert severities == receivers


# Capacity


def test_capacity_names_the_first_limit_and_the_next_step() -> None:
    services = load_services()
    found = capacity(services)
    api = {service.name for service in services.values() if not service.is_worker}
    assert {limit.part for limit in found.limits["read"]} & api
    assert found.mixed == sorted(found.mixed, key=lambda limit: limit.sustained)
    assert found.next_step.startswith(found.mixed[0].part)
    for limits in found.limits.values():
        assert all(0 < limit.sustained <= limit.burst for limit in limits)


def test_what_costs_a_second_of_a_core_is_carried_as_often_as_the_node_has_cores(checkout: Path) -> None:
    services = load_services(checkout)
    costs = checkout / "k8s/costs.toml"
    text, measured = costs.read_text(encoding="utf-8"), tomllib.loads(costs.read_text(encoding="utf-8"))
    photo = measured["photo"]["worker-ai"]
    costs.write_text(text.replace(f"worker-ai = {photo}", "worker-ai = 1000.0"), encoding="utf-8")
    carried = next(limit for limit in capacity(services, root=checkout).limits["photo"] if limit.part == "worker-ai")
    instances = tomllib.loads((ROOT / "k8s/traffic.toml").read_text(encoding="utf-8"))["instances"]
    nodes = yaml.safe_load((ROOT / "k8s/nodes.yaml").read_text(encoding="utf-8"))["nodes"]
    instance = next(node["instance"] for node in nodes if node["name"] == carried.node)
    assert carried.sustained == pytest.approx(instances[instance]["sustained"])
    assert carried.sustained <= carried.burst <= 2.0, "the node has two cores"


def test_costs_are_those_of_workloads_that_there_are() -> None:
    """What `make bench ARGS=costs` has written: each kind of work of the mix, by parts that have a node."""
    costs, traffic = (
        tomllib.loads((ROOT / "k8s" / f"{name}.toml").read_text(encoding="utf-8")) for name in ("costs", "traffic")
    )
    assert set(traffic["mix"]) == set(costs)
    known = {load.name for load in loads(load_services().values())} | {"api"}
    for kind, parts in costs.items():
        assert set(parts) <= known, kind
        assert all(cost > 0 for cost in parts.values())
