"""Why a pod is not ready, in the words that a cluster has for it"""

import json
from typing import Any

import pytest

from k8s.programs.cluster import Cluster, ClusterError
from k8s.programs.templates import Document
from k8s.programs.trouble import Refusals, Trouble, full_text, last_words, trouble_of


def pod(*states: Document, init: tuple[Document, ...] = (), scheduled: str = "True", **more: Any) -> Document:
    met = {"type": "PodScheduled", "status": scheduled, **more}
    status = {"conditions": [met], "containerStatuses": list(states), "initContainerStatuses": list(init)}
    return {"metadata": {"name": "web-1"}, "status": status}


def container(name: str = "host", restarts: int = 0, ready: bool = False, **state: Document) -> Document:
    return {"name": name, "restartCount": restarts, "ready": ready, "state": state}


def waits(reason: str, message: str = "") -> Document:
    return container(waiting={"reason": reason, **({"message": message} if message else {})})


@pytest.mark.parametrize(
    ("found", "reason", "counts_after", "logs_of"),
    [
        (pod(container(ready=True, running={})), None, None, ""),
        (pod(), None, None, ""),
        ({"metadata": {"name": "web-1"}}, None, None, ""),
        (pod(scheduled="False", message="0/3 nodes"), "has no node: 0/3 nodes", 1 / 15, ""),
        (pod(scheduled="False", reason="Gated"), "has no node: Gated", 1 / 15, ""),
        (pod(waits("ErrImagePull", "not\n  found")), "host: ErrImagePull: not found", 1 / 30, ""),
        (pod(waits("ErrImagePull", "x" * 400)), f"host: ErrImagePull: {'x' * 300}", 1 / 30, ""),
        *(
            (pod(waits(reason)), f"host: {reason}", counts_after, logs_of)
            for reason, counts_after, logs_of in (
                *(("ErrImagePull", 1 / 30, ""), ("ImagePullBackOff", 1 / 30, ""), ("InvalidImageName", 0.0, "")),
                *(("ErrImageNeverPull", 0.0, ""), ("CreateContainerConfigError", 1 / 30, "")),
                *(("CreateContainerError", 1 / 30, ""), ("RunContainerError", 1 / 30, "")),
                ("CrashLoopBackOff", 0.0, "host"),
            )
        ),
        (pod(waits("CrashLoopBackOff", "again")), "host: CrashLoopBackOff: again", 0.0, "host"),
        (pod(waits("ContainerCreating")), "host is being made", None, ""),
        (pod(waits("PodInitializing")), "host is being made", None, ""),
        (pod(waits("SomethingNew")), None, None, ""),
        (pod(container(restarts=2, terminated={"exitCode": 3})), "host: ended 3 times, last with code 3", 0.0, "host"),
        (pod(container(restarts=1, terminated={"exitCode": 3})), None, None, ""),  # it may yet pass
        (pod(container(restarts=2, terminated={"exitCode": 0})), None, None, ""),
        (pod(container(running={})), "host runs and is not ready", None, ""),
        # What keeps it from ever being ready is told before what may pass, and what comes first first.
        (pod(container("a", running={}), waits("ErrImagePull")), "host: ErrImagePull", 1 / 30, ""),
        (pod(waits("ErrImagePull"), init=(container("first", running={}),)), "host: ErrImagePull", 1 / 30, ""),
        (
            pod(waits("PodInitializing"), init=(container("first", running={}),)),
            "first runs and is not ready",
            None,
            "",
        ),
    ],
)
def test_a_pod_has_one_trouble_and_it_says_whether_waiting_may_mend_it(
    found: Document, reason: str | None, counts_after: float | None, logs_of: str
) -> None:
    trouble = trouble_of(found)
    assert trouble == (None if reason is None else Trouble("web-1", reason, counts_after, logs_of))


class Told(Cluster):
    """A cluster that answers each command from a table, by the words that are in it; it notes them."""

    def __init__(self, *answers: tuple[str, Any]) -> None:
        super().__init__()
        self.answers, self.asked = answers, list[str]()

    def run(self, *words: str, text: str | None = None) -> str:
        self.asked.append(" ".join(words))
        for wanted, answer in self.answers:
            if wanted in self.asked[-1]:
                if isinstance(answer, Exception):
                    raise answer
                return answer if isinstance(answer, str) else json.dumps(answer)
        return ""


AWAY = ClusterError("away")


@pytest.mark.parametrize(
    ("trouble", "answers", "said"),
    [
        (Trouble("web-1", "broke", 0.0), [], "pod web-1 broke"),
        (Trouble("deployment/web", "makes no pods: x", 0.0), [], "deployment/web makes no pods: x"),
        # The log of the run before, else of this one.
        (Trouble("web-1", "broke", 0.0, "host"), [("--previous", "one\ntwo\n")], "pod web-1 broke\n    one\n    two"),
        (Trouble("web-1", "broke", 0.0, "host"), [("--previous", AWAY), ("logs", "now")], "pod web-1 broke\n    now"),
        (Trouble("web-1", "broke", 0.0, "host"), [("--previous", " \n"), ("logs", "now")], "pod web-1 broke\n    now"),
        (Trouble("web-1", "broke", 0.0, "host"), [("logs", AWAY)], "pod web-1 broke"),
        # What the kubelet noted last, of what may pass.
        (
            Trouble("web-1", "is being made", None),
            [
                (
                    "events",
                    {"items": [{"message": "new", "lastTimestamp": "2"}, {"message": "old", "lastTimestamp": "1"}]},
                )
            ],
            "pod web-1 is being made: new",
        ),
        (
            Trouble("web-1", "is being made", None),
            [("events", {"items": [{"message": "new", "eventTime": "2"}, {"message": "old", "eventTime": "1"}]})],
            "pod web-1 is being made: new",
        ),
        (Trouble("web-1", "is being made", None), [("events", {"items": []})], "pod web-1 is being made"),
        (Trouble("web-1", "is being made", None), [("events", AWAY)], "pod web-1 is being made"),
        (Trouble("job/once", "x", None), [("events", {"items": [{"message": "new"}]})], "job/once x"),
    ],
)
def test_a_trouble_is_told_with_what_explains_it(trouble: Trouble, answers: list[tuple[str, Any]], said: str) -> None:
    cluster = Told(*answers)
    assert full_text(cluster, trouble, "eco2") == said
    assert all("--namespace eco2" in words for words in cluster.asked)
    assert all("web-1" in words for words in cluster.asked)
    noted = "get events --namespace eco2 --output json --field-selector involvedObject.name=web-1,type=Warning"
    logs = "logs web-1 --container host"
    assert all(words == noted if "events" in words else words.startswith(logs) for words in cluster.asked)
    assert all("--tail=5" in words for words in cluster.asked if "logs" in words), "the last lines, not all of them"


def volume(*zones: str, key: str = "topology.ebs.csi.aws.com/zone") -> Document:
    where = [{"matchExpressions": [{"key": key, "values": list(zones)}]}]
    return {"spec": {"nodeAffinity": {"required": {"nodeSelectorTerms": where}}}}


NODES = {"items": [{"metadata": {"labels": {"topology.kubernetes.io/zone": "c"}}}]}
BOUND = {"spec": {"volumeName": "pv-1"}}


@pytest.mark.parametrize(
    ("nodes", "claim", "there", "said"),
    [
        (
            {"items": []},
            BOUND,
            volume("a"),
            "; no node has the label eco2/node=db: kubectl label node NAME eco2/node=db",
        ),
        (NODES, BOUND, volume("b", "a"), "; its volume data is in a, b, the nodes with eco2/node=db in c"),
        (NODES, BOUND, volume("a", "c"), ""),
        (NODES, BOUND, volume("a", key="disk"), ""),
        (NODES, BOUND, {"spec": {}}, ""),
        (NODES, {"spec": {}}, volume("a"), ""),
        (NODES, "", volume("a"), ""),
        (NODES, BOUND, "", ""),
    ],
)
def test_a_pod_without_a_node_is_told_with_what_the_scheduler_hides(
    nodes: Any, claim: Any, there: Any, said: str
) -> None:
    volumes = [{"configMap": {}}, {"persistentVolumeClaim": {"claimName": "data"}}]
    spec = {"nodeSelector": {"eco2/node": "db"}, "volumes": volumes}
    answers = [("get pod web-1", {"spec": spec}), ("get nodes", nodes), ("get pvc data", claim), ("get pv pv-1", there)]
    cluster = Told(*answers)
    assert full_text(cluster, Trouble("web-1", "has no node: x", 1 / 15), "eco2") == f"pod web-1 has no node: x{said}"
    assert any("--selector eco2/node=db" in words for words in cluster.asked)
    anywhere = Told(("get pod web-1", {"spec": {"volumes": volumes}}), *answers[1:])
    if ", the nodes with" in said:
        assert full_text(anywhere, Trouble("web-1", "has no node: x", 0), "eco2").endswith("is in a, b, the nodes in c")
    assert full_text(Told(), Trouble("web-1", "has no node: x", 0), "eco2") == "pod web-1 has no node: x"


def workload(**status: Any) -> Document:
    return {"kind": "Deployment", "metadata": {"name": "web", "uid": "7", "namespace": "eco2"}, "status": status}


def test_why_no_pods_are_made_is_what_was_said_since_it_was_looked() -> None:
    items: list[Document] = [{"message": "old", "count": 3}, {"message": "again", "count": 1}]
    cluster = Told()
    refusals = Refusals(cluster)
    cluster.answers = (("events", {"items": items}),)
    assert refusals.of(workload()) == []
    assert refusals.of(workload()) == []
    cluster.answers = (("events", {"items": [items[0], {"message": "again", "count": 2}, {"message": "new"}]}),)
    assert refusals.of(workload()) == [
        Trouble("deployment/web", f"makes no pods: {text}", 0.0) for text in ("again", "new")
    ]
    assert all(
        "--namespace eco2" in words and "involvedObject.uid=7,reason=FailedCreate" in words for words in cluster.asked
    )


@pytest.mark.parametrize(
    ("kind", "status", "counts"),
    [("ReplicaFailure", "True", True), ("ReplicaFailure", "False", False), ("Available", "True", False)],
)
def test_a_workload_that_says_why_it_makes_none_is_believed(kind: str, status: str, counts: bool) -> None:
    found = Refusals(Told(("events", {"items": []}))).of(
        workload(conditions=[{"type": kind, "status": status, "message": "no rights"}])
    )
    assert found == ([Trouble("deployment/web", "makes no pods: no rights", 1 / 30)] if counts else [])


def test_the_last_words_of_a_job_are_those_of_its_newest_pod() -> None:
    pods: list[Document] = [
        {
            "metadata": {"name": name, "creationTimestamp": made},
            "spec": {"containers": [{"name": "job"}, {"name": "x"}]},
        }
        for name, made in (("newest", "3"), ("first", "1"), ("second", "2"))
    ]
    cluster = Told(("logs newest --container job", "it broke"), ("logs", "another"))
    assert last_words(cluster, pods, "eco2") == "\n    it broke"
    assert last_words(cluster, [], "eco2") == ""


def test_one_trouble_in_other_words_is_the_same() -> None:
    assert Trouble("a", "host: x", 0).key == Trouble("a", "host: y", None).key
    assert Trouble("a", "host: x", 0).key != Trouble("b", "host: x", 0).key
    assert Trouble("a", "host: x", 0).key != Trouble("a", "other: x", 0).key
