"""Waiting for pods: what is enough, what is too much, and whose words are repeated."""

import json
import re
import time
from collections.abc import Callable

import pytest

from k8s.programs import deploy
from k8s.programs.changes import Plan
from k8s.programs.cluster import Cluster
from k8s.programs.environments import environments
from k8s.programs.objects import UNFINISHED, ObjectChange, compare, half_way
from k8s.programs.plan import Situation
from k8s.programs.rollout import Patience, RolloutError, await_job, await_rollout, left_of
from k8s.programs.trouble import trouble_of
from tests.k8s.api.controllers import Rule
from tests.k8s.api.kinds import Document
from tests.k8s.api.server import Server
from tests.k8s.test_api import FOLDER

PATIENCE = Patience(6.0)
RECORDED = {
    scenario: {step["says"]: step["objects"] for step in json.loads((FOLDER / f"{scenario}.json").read_text())["steps"]}
    for scenario in ("pods", "rollouts")
}


def workload(kind: str, image: str = "x:1", replicas: int = 2) -> Document:
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "host", "image": image}]},
            },
        },
    }


def job(image: str = "x:1") -> Document:
    pod = {"containers": [{"name": "job", "image": image}], "restartPolicy": "Never"}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "once", "namespace": "default"},
        "spec": {"template": {"spec": pod}},
    }


def roll_out(kind: str = "Deployment", image: str = "x:1", say: Callable[[str], object] = print) -> None:
    cluster = Cluster()
    cluster.apply([workload(kind, image)])
    await_rollout(cluster, kind.lower(), "web", "default", PATIENCE, say)


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
def test_a_rollout_has_ended_when_all_pods_are_new_and_ready(cluster: Server, kind: str) -> None:
    roll_out(kind)
    roll_out(kind, "x:2")
    pods = cluster.store.of("Pod").values()
    assert {pod["spec"]["containers"][0]["image"] for pod in pods} == {"x:2"}
    assert len(pods) == 2


@pytest.mark.parametrize(
    ("does", "words"),
    [
        ("pullfail", r'host: ImagePullBackOff: Back-off pulling image "x:2".*not found'),
        ("crash", r"host: CrashLoopBackOff: .*\n    Traceback\n    KeyError: 'DSN'"),
        ("nonode", r"has no node: 0/13 nodes are available"),
        ("unready", r"took longer than 6 s: .*; pod web-\S+ host runs and is not ready"),
    ],
)
@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
def test_a_pod_that_does_not_start_is_quoted(cluster: Server, kind: str, does: str, words: str) -> None:
    roll_out(kind)
    cluster.controllers.rules = [Rule(r"^web-\S+ x:2$", does)]
    cluster.logs["web-"] = "Traceback\nKeyError: 'DSN'\n"
    with pytest.raises(RolloutError, match=words):
        roll_out(kind, "x:2")


def test_a_daemonset_is_waited_for_and_quoted_too(cluster: Server) -> None:
    found = workload("DaemonSet")
    del found["spec"]["replicas"]
    node = {"apiVersion": "v1", "kind": "Node"}
    Cluster().apply([*({**node, "metadata": {"name": name}, "spec": {}} for name in ("one", "two")), found])
    await_rollout(Cluster(), "daemonset", "web", "default", PATIENCE)
    pods = cluster.store.of("Pod")
    assert len(pods) == 2
    cluster.controllers.rules = [Rule(r"^web-\S+ x:2$", "pullfail")]
    found["spec"]["template"]["spec"]["containers"][0]["image"] = "x:2"
    Cluster().apply([found])
    with pytest.raises(RolloutError, match=r"ImagePullBackOff: .*x:2"):
        await_rollout(Cluster(), "daemonset", "web", "default", PATIENCE)
    cluster.controllers.rules = []
    Cluster().undo("daemonset", "web", "default")
    await_rollout(Cluster(), "daemonset", "web", "default", PATIENCE)


def test_what_may_yet_pass_is_said_and_waited_for(cluster: Server) -> None:
    said: list[str] = []
    roll_out()
    cluster.controllers.rules = [Rule(r"^web-\S+ x:2$", "unready")]

    def mend(text: str) -> None:
        said.append(text)
        cluster.controllers.rules = []

    roll_out("Deployment", "x:2", mend)
    assert len(said) == 1
    assert "host runs and is not ready" in said[0]


def test_old_pods_that_fail_are_no_reason_to_give_up(cluster: Server) -> None:
    cluster.controllers.rules = [Rule(r" x:1$", "crash")]
    Cluster().apply([workload("StatefulSet")])
    time.sleep(0.3)
    roll_out("StatefulSet", "x:2")


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
def test_an_undone_rollout_is_not_called_failed_for_what_was_before(cluster: Server, kind: str) -> None:
    roll_out(kind)
    cluster.controllers.rules = [Rule(r"^web-\S+ x:2$", "pullfail")]
    with pytest.raises(RolloutError):
        roll_out(kind, "x:2")
    Cluster().undo(kind.lower(), "web", "default")
    await_rollout(Cluster(), kind.lower(), "web", "default", PATIENCE)
    found = cluster.store.objects[kind, "default", "web"]
    assert found["spec"]["template"]["spec"]["containers"][0]["image"] == "x:1"


def test_a_job_ends_well_or_with_its_log(cluster: Server) -> None:
    Cluster().apply([job()])
    await_job(Cluster(), "once", "default", PATIENCE)
    Cluster().delete("job", "once", "default")
    cluster.controllers.rules = [Rule("^once", "fail")]
    cluster.logs["once"] = "relation does not exist\n"
    Cluster().apply([job()])
    with pytest.raises(RolloutError, match=r"job/once failed: .*backoff limit\n    relation does not exist"):
        await_job(Cluster(), "once", "default", PATIENCE)


def test_a_job_whose_image_is_not_there_says_so_and_not_that_it_failed(cluster: Server) -> None:
    cluster.controllers.rules = [Rule("^once", "pullfail")]
    Cluster().apply([job("gone:1")])
    with pytest.raises(RolloutError, match=r"job: ImagePullBackOff: .*gone:1"):
        await_job(Cluster(), "once", "default", PATIENCE)


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
def test_pods_that_the_cluster_refuses_to_make_are_told_in_its_words(cluster: Server, kind: str) -> None:
    found = workload(kind)
    found["spec"]["template"]["spec"]["serviceAccountName"] = "nobody"
    Cluster().apply([found])
    with pytest.raises(RolloutError, match=rf'^{kind.lower()}/web makes no pods: .*serviceaccount "nobody" not found'):
        await_rollout(Cluster(), kind.lower(), "web", "default", PATIENCE)


def test_so_are_those_of_a_job(cluster: Server) -> None:
    found = job()
    found["spec"]["template"]["spec"]["priorityClassName"] = "highest"
    Cluster().apply([found])
    words = r"^job/once makes no pods: Error creating: .*no PriorityClass with name highest was found"
    with pytest.raises(RolloutError, match=words):
        await_job(Cluster(), "once", "default", PATIENCE)


def test_a_broken_pod_does_not_keep_a_statefulset_from_what_mends_it(cluster: Server) -> None:
    """Its controller waits for the broken pod to get ready before it makes the next: for ever."""
    cluster.controllers.rules = [Rule(r" x:1$", "crash")]
    Cluster().apply([workload("StatefulSet", replicas=1)])
    time.sleep(0.3)
    roll_out("StatefulSet", "x:2")


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
def test_a_rollout_that_nobody_waited_for_is_unfinished_until_its_pods_were_ready_once(
    cluster: Server, kind: str
) -> None:
    """Also where its only pod went first; and not again, however many pods there are to be later."""
    roll_out(kind)
    found = workload(kind, "x:2", replicas=1)
    if kind == "Deployment":
        found["spec"]["strategy"] = {"type": "Recreate"}

    def ends_badly() -> None:
        Cluster().apply([found])
        with pytest.raises(RolloutError):
            await_rollout(Cluster(), kind.lower(), "web", "default", PATIENCE)

    cluster.controllers.rules = [Rule(r"^web-\S+ x:2$", "crash")]
    ends_badly()
    (change,) = compare(Cluster(), [found])
    assert change.diff == [UNFINISHED]
    cluster.controllers.rules = []
    await_rollout(Cluster(), kind.lower(), "web", "default", PATIENCE)
    assert compare(Cluster(), [found]) == []
    cluster.controllers.rules = [Rule(r"^web-\S+ x:2$", "crash")]
    found["spec"]["replicas"] = 3
    ends_badly()
    assert compare(Cluster(), [found]) == []


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
def test_a_rollout_that_no_controller_has_seen_is_unfinished(cluster: Server, kind: str) -> None:
    roll_out(kind)
    cluster.controllers.close()
    Cluster().apply([workload(kind, "x:2")])
    (change,) = compare(Cluster(), [workload(kind, "x:2")])
    assert change.diff == [UNFINISHED]


# What a real control plane has shown (tests/k8s/recordings)


@pytest.mark.parametrize(
    ("says", "reason", "counts"),
    [
        ("the image can't be pulled", "web: ErrImagePull: |web: ImagePullBackOff: ", True),
        ("the container ends again and again", "web: CrashLoopBackOff: back-off ", True),
        ("never ready", "web runs and is not ready$", False),
        ("a Secret that is not there", 'web: CreateContainerConfigError: secret "none" not found', True),
        ("a key that is not in the Secret", "web: CreateContainerConfigError: couldn't find key ", True),
        ("no node has the memory", "has no node: 0/13 nodes are available: .*Insufficient memory", True),
        ("no node has the label", "has no node: .*didn't match Pod's node affinity/selector", True),
        ("a volume of a Secret that is not there", "web is being made$", False),
        ("a claim that is not there", 'has no node: .*persistentvolumeclaim "none" not found', True),
        ("its only node is cordoned", "has no node: .*were unschedulable", True),
        ("its pod: CrashLoopBackOff", "web: CrashLoopBackOff", True),
    ],
)
def test_a_recorded_pod_is_told_by_its_own_reason(says: str, reason: str, counts: bool) -> None:
    (pod,) = (RECORDED["pods"] | RECORDED["rollouts"])[says]
    trouble = trouble_of(pod)
    assert trouble is not None
    assert re.match(reason, trouble.reason), trouble.reason
    assert (trouble.counts_after is not None) == counts


@pytest.mark.parametrize(
    ("says", "left"),
    [
        ("conditions when done", ""),
        ("conditions at the end", ""),
        ("conditions meanwhile", "1 of 2 pods are new"),
        ("conditions after the deadline", "1 of 2 pods are new"),
        ("right after it: the condition may still say ProgressDeadlineExceeded", "1 of 2 new pods are ready"),
        # Its condition is of the rollout before: `kubectl rollout status` calls this one failed by it.
        ("read by the API right after another undo", "its controller has not seen the change yet"),
    ],
)
def test_a_recorded_rollout_is_judged_by_its_pods_and_not_by_a_stale_condition(says: str, left: str) -> None:
    (found,) = RECORDED["rollouts"][says]
    assert left_of(found) == left
    assert half_way(found) == bool(left)


DONE = {"observedGeneration": 2, "replicas": 3, "updatedReplicas": 3, "readyReplicas": 3, "availableReplicas": 3}
DONE |= {"currentRevision": "b", "updateRevision": "b", "desiredNumberScheduled": 3, "numberAvailable": 3}
DONE |= {"updatedNumberScheduled": 3}


@pytest.mark.parametrize(
    ("kind", "other", "left"),
    [
        ("Deployment", {}, ""),
        ("StatefulSet", {}, ""),
        ("DaemonSet", {}, ""),
        ("Deployment", {"observedGeneration": 1}, "its controller has not seen the change yet"),
        ("Deployment", {"updatedReplicas": 2}, "2 of 3 pods are new"),
        ("Deployment", {"replicas": 4}, "1 old pods are still there"),
        ("Deployment", {"availableReplicas": 2}, "2 of 3 new pods are ready"),
        ("StatefulSet", {"readyReplicas": 1}, "1 of 3 new pods are ready"),
        ("StatefulSet", {"currentRevision": "a"}, "some pods are of the revision before"),
        ("DaemonSet", {"updatedNumberScheduled": 2}, "2 of 3 nodes have the new pod"),
        ("DaemonSet", {"numberAvailable": 2}, "the pods of 2 of 3 nodes are ready"),
    ],
)
def test_each_thing_that_a_rollout_may_lack_is_missed(kind: str, other: dict[str, object], left: str) -> None:
    found = workload(kind, replicas=3) | {"status": DONE | other}
    found["metadata"]["generation"] = 2
    assert left_of(found) == left


def test_a_job_goes_on_only_where_the_one_that_is_there_works_on_the_same_and_is_not_being_deleted() -> None:
    def there(image: str = "x:1", active: int = 1, **metadata: str) -> Document:
        return job(image) | {"status": {"active": active}, "metadata": {"name": "once", **metadata}}

    assert deploy._under_way(there(), job())
    assert not deploy._under_way(there(active=0), job())
    assert not deploy._under_way(job(), job())
    assert not deploy._under_way(there("x:2"), job())
    assert not deploy._under_way(there(deletionTimestamp="2026-01-02T03:04:05Z"), job())


def test_what_others_need_is_made_before_them_whatever_the_order_in_the_files() -> None:
    made: list[list[str]] = []

    class Recorder(Cluster):
        def apply(self, documents: list[Document], **_: object) -> None:  # type: ignore[override]  # it only notes them
            made.append([found["kind"] for found in documents])

    kinds = [
        "Service",
        "ConfigMap",
        "PodDisruptionBudget",
        "ServiceAccount",
        "PriorityClass",
        "StorageClass",
        "Namespace",
    ]
    documents = [{"apiVersion": "v1", "kind": kind, "metadata": {"name": "one", "namespace": "eco2"}} for kind in kinds]
    changes = [ObjectChange(kind, "eco2", "one", "new") for kind in kinds]
    situation = Situation(Plan([]), [], documents)
    deployment = deploy.Deployment(Recorder(), environments()["prod"], situation, PATIENCE, say=lambda _: None)
    deployment._base(changes)
    first = ["Namespace", "StorageClass", "PriorityClass", "ServiceAccount", "ConfigMap"]
    assert made == [[*first, "Service", "PodDisruptionBudget"]]
