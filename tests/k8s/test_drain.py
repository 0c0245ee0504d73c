"""A node is drained by the runbook's own commands: budgets are kept, pods find another node, and come home."""

import json
import re
import subprocess

import pytest

from k8s.programs.cluster import Cluster
from k8s.programs.rollout import Patience, RolloutError, await_rollout
from k8s.programs.room import node_plan
from tests.k8s.api.budgets import is_ready
from tests.k8s.api.controllers import Rule
from tests.k8s.api.kinds import Document
from tests.k8s.api.server import Server
from tests.k8s.api.store import BY_KIND
from tests.k8s.test_api import FOLDER, Replay, reason
from tests.k8s.test_rollout import workload
from tests.k8s.test_runbook import commands
from tests.support import wait_until

RECORDED = {
    step["says"]: step["requests"][0]
    for step in json.loads((FOLDER / "eviction.json").read_text(encoding="utf-8"))["steps"]
}


# Evictions, as a real API server answers them


def budget(name: str = "web", **wants: int) -> Document:
    spec = {"selector": {"matchLabels": {"app": "web"}}, **wants}
    metadata = {"name": name, "namespace": "rec"}
    return {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata, "spec": spec}


def web(server: Server, *, ready: bool = True) -> list[str]:
    """Two pods of a Deployment; return their names."""
    server.controllers.rules = [] if ready else [Rule("^web-", "unready")]
    metadata = {"name": "web", "namespace": "rec"}
    found = {**workload("Deployment"), "metadata": metadata}
    Cluster().apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "rec"}}])
    Cluster().apply([found])

    def pods() -> list[str]:
        there = server.store.of("Pod").values()
        started = [pod["metadata"]["name"] for pod in there if pod.get("status", {}).get("phase") == "Running"]
        return started if len(started) == 2 else []

    return list(wait_until(pods))


def evict(server: Server, pod: str, says: str, query: str = "") -> None:
    """Evict a pod; the answer must be the recorded one."""
    recorded = RECORDED[says]["answer"]
    path = f"/api/v1/namespaces/rec/pods/{pod}/eviction{query}"
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": "rec"}}
    status, got = Replay(server).ask({"method": "POST", "path": path, "body": body})
    assert (status, reason(got)) == (recorded["status"], reason(recorded["body"]))
    if "causes" in recorded["body"].get("details", {}):
        expected = recorded["body"]["details"]["causes"]
        assert [re.sub("budget sick", "budget web", cause["message"]) for cause in expected] == [
            cause["message"] for cause in got["details"]["causes"]
        ]


def test_an_eviction_is_refused_where_its_budget_allows_none(cluster: Server) -> None:
    pods = web(cluster)
    Cluster().apply([budget(maxUnavailable=0)])
    evict(cluster, pods[0], "the budget allows none")
    evict(cluster, "nobody", "a pod that is not there")
    recorded = RECORDED["the budget"]["answer"]["body"]["status"]
    found = wait_until(lambda: cluster.store.objects["PodDisruptionBudget", "rec", "web"].get("status"))
    assert {key: value for key, value in found.items() if key != "conditions"} == {
        key: value for key, value in recorded.items() if key != "conditions"
    }


def test_one_goes_at_a_time(cluster: Server) -> None:
    pods = web(cluster)
    Cluster().apply([budget(maxUnavailable=1)])
    cluster.controllers.close()  # no successor comes
    evict(cluster, pods[0], "the budget allows one")
    evict(cluster, pods[1], "the second at once: refused")


def test_a_pod_of_two_budgets_is_never_evicted(cluster: Server) -> None:
    pods = web(cluster)
    Cluster().apply([budget(maxUnavailable=1), budget("second", maxUnavailable=1)])
    evict(cluster, pods[0], "is refused")


def test_one_that_is_not_ready_stays_where_too_few_are(cluster: Server) -> None:
    pods = web(cluster, ready=False)
    Cluster().apply([budget(minAvailable=1)])
    evict(cluster, pods[0], "a pod that is not ready, where the budget still has what it wants", "?dryRun=All")


# What the scheduler's message hides


def pinned(volumes: list[Document]) -> Document:
    """A Deployment of pods that run on the broker's node alone."""
    found = workload("Deployment", replicas=1)
    found["spec"]["template"]["spec"] |= {"nodeSelector": {"eco2/node": "broker"}, "volumes": volumes}
    return found


def test_a_label_that_no_node_has_is_named_with_the_command_that_mends_it(cluster: Server) -> None:
    Cluster().apply([node for node in nodes() if node["metadata"]["name"] != "k8s-broker"])
    Cluster().apply([pinned([])])
    words = (
        "has no node: 0/12 nodes .*; no node has the label eco2/node=broker: kubectl label node NAME eco2/node=broker"
    )
    with pytest.raises(RolloutError, match=words):
        await_rollout(Cluster(), "deployment", "web", "default", Patience(5))


def test_a_volume_of_another_zone_is_named(cluster: Server) -> None:
    (node,) = [node for node in nodes() if node["metadata"]["name"] == "k8s-broker"]
    node["metadata"]["labels"]["topology.kubernetes.io/zone"] = "ap-northeast-2c"
    where = {"key": "topology.ebs.csi.aws.com/zone", "operator": "In", "values": ["ap-northeast-2a"]}
    required = {"nodeSelectorTerms": [{"matchExpressions": [where]}]}
    volume = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "pv-1"}}
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data", "namespace": "default"}}
    cluster.controllers.rules = [Rule("^web-", "nonode")]
    Cluster().apply(
        [
            node,
            {**volume, "spec": {"nodeAffinity": {"required": required}}},
            {**claim, "spec": {"volumeName": "pv-1"}},
            pinned([{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]),
        ]
    )
    words = "its volume data is in ap-northeast-2a, the nodes with eco2/node=broker in ap-northeast-2c$"
    with pytest.raises(RolloutError, match=words):
        await_rollout(Cluster(), "deployment", "web", "default", Patience(5))


# Drains


def nodes() -> list[Document]:
    """Those of nodes.yaml, labelled as the runbook says."""
    found = []
    for node in node_plan()["nodes"]:
        taints = [{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}]
        spec = {"taints": taints} if node["label"] == "control-plane" else {}
        metadata = {"name": node["name"], "labels": {"eco2/node": node["label"]}}
        found.append({"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": spec})
    return found


@pytest.fixture
def at_home(deployed: Server) -> Server:
    """A cluster that runs this checkout, each pod on its node."""
    Cluster().apply(nodes())
    with deployed.store.lock:
        for key in deployed.store.of("Pod"):
            deployed.store.delete(BY_KIND["Pod"], *key[1:])
    wait_until(lambda: all(ready(deployed, name) for name in ("api-waste", "worker-ai", "broker", "k8s-postgresql")))
    assert {place(pod) for pod in pods(deployed, "api-waste")} == {"k8s-api-waste"}
    return deployed


def pods(server: Server, name: str) -> list[Document]:
    labels = [(found, found["metadata"]["labels"]) for found in server.store.of("Pod").values()]
    return [found for found, own in labels if own.get("app.kubernetes.io/name") == name]


def place(pod: Document) -> str:
    return str(pod["spec"].get("nodeName", ""))


def ready(server: Server, name: str) -> int:
    """How many pods of a workload are ready; 0 where some are missing."""
    with server.store.lock:
        owner = next(
            found for (_, _, own), found in server.store.of("Deployment", "StatefulSet").items() if own == name
        )
        count = sum(
            c["type"] == "Ready" and c["status"] == "True"
            for pod in pods(server, name)
            for c in pod.get("status", {}).get("conditions", [])
        )
    return count if count >= owner["spec"]["replicas"] else 0


def fewest_ready(server: Server, name: str, since: int) -> int:
    """The fewest pods of a workload that were ready together, from one of the store's events on."""
    up: set[str] = set()
    counts = []
    for number, (_, what, found) in enumerate(list(server.store.events)):
        if found["kind"] == "Pod" and found["metadata"]["labels"].get("app.kubernetes.io/name") == name:
            (up.add if what != "DELETED" and is_ready(found) else up.discard)(found["metadata"]["name"])
            counts += [len(up)] if number >= since else []
    return min(counts)


def run(command: str, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*command.split(), *more], capture_output=True, text=True, check=False)


def test_a_drained_service_runs_elsewhere_and_comes_home(at_home: Server) -> None:
    (drain,) = [c for c in commands("kubectl") if c.startswith("kubectl drain k8s-api-waste")]
    (back,) = [c for c in commands("kubectl") if c.startswith("kubectl uncordon")]
    (restart,) = [c for c in commands("kubectl") if "rollout restart deployment/api-waste" in c]
    Cluster().run("scale", "deployment/api-waste", "--replicas=3", "--namespace", "eco2")
    wait_until(lambda: ready(at_home, "api-waste") == 3)
    before = len(at_home.store.events)
    done = run(drain)
    assert done.returncode == 0, done.stderr
    wait_until(lambda: ready(at_home, "api-waste") == 3)
    away = {place(pod) for pod in pods(at_home, "api-waste")}
    assert "k8s-api-waste" not in away
    assert not away & {"k8s-postgresql", "k8s-broker", "k8s-cache", "k8s-master"}
    assert fewest_ready(at_home, "api-waste", before) == 2
    assert run(back).returncode == 0
    assert run(restart).returncode == 0
    await_rollout(Cluster(), "deployment", "api-waste", "eco2", Patience(60))
    assert {place(pod) for pod in pods(at_home, "api-waste")} == {"k8s-api-waste"}


def test_a_store_s_node_stops_it_until_it_is_back_and_postgresql_s_refuses(at_home: Server) -> None:
    (drain,) = [c for c in commands("kubectl") if c.startswith("kubectl drain k8s-broker")]
    assert run(drain).returncode == 0
    (broker,) = wait_until(lambda: pods(at_home, "broker"))
    assert (
        wait_until(lambda: at_home.store.objects["Pod", "eco2", broker["metadata"]["name"]].get("status"))["phase"]
        == "Pending"
    )
    with pytest.raises(RolloutError, match=r"has no node: .*unschedulable"):
        await_rollout(Cluster(), "statefulset", "broker", "eco2", Patience(5))
    assert run("kubectl uncordon k8s-broker").returncode == 0
    wait_until(lambda: ready(at_home, "broker"))
    of_postgresql = drain.replace("k8s-broker", "k8s-postgresql")
    refused = run(of_postgresql, "--timeout=1s")
    assert refused.returncode == 1
    assert "would violate the pod's disruption budget" in refused.stderr
    assert run(of_postgresql, "--disable-eviction").returncode == 0
