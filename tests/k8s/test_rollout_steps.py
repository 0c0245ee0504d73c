"""A wait as its clock sees it: what counts at once, after a while or never; which pods are new, and which are in the way"""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest

from k8s.programs import rollout
from k8s.programs.cluster import Cluster
from k8s.programs.rollout import Patience, RolloutError, _is_new, _Stuck, await_job, await_rollout
from k8s.programs.templates import Document

PATIENCE = Patience(300.0)
READY = {"ready": True, "state": {"running": {}}}
UNREADY = {"state": {"running": {}}}
PULLING = {"state": {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}}
CRASHED = {"state": {"waiting": {"reason": "CrashLoopBackOff"}}}


class Time:
    """A clock that goes on only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0

    @property
    def passed(self) -> float:
        return self.now - 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    made = Time()
    monkeypatch.setattr(rollout, "time", made)
    return made


Shows = Callable[[], Document | None]


class Shown(Cluster):
    """A workload as it is now, and its pods."""

    def __init__(self, found: Shows, pods: Callable[[], list[Document]] = list) -> None:
        super().__init__()
        self.found, self.pods = found, pods
        self.told: list[str] = []

    def get(self, kind: str, name: str, space: str) -> Document | None:
        self.told.append(f"get {kind} {name} {space}")
        return self.found()

    def select(self, kinds: str, space: str, selector: str = "") -> list[Document]:
        self.told.append(f"select {kinds} {space} {selector}")
        return self.pods()

    def delete(self, kind: str, name: str, space: str, *, wait: bool = True) -> None:
        self.told.append(f"delete {kind} {name} {space} {wait}")

    def run(self, *words: str, text: str | None = None) -> str:
        return '{"items": []}' if "events" in words else "last words"


def workload(kind: str = "Deployment", ready: int = 0, generation: int = 1) -> Document:
    counts = {"replicas": 1, "updatedReplicas": 1, "readyReplicas": ready, "availableReplicas": ready}
    template = {"metadata": {}, "spec": {"containers": [{"name": "host", "image": "x:2"}]}}
    return {
        "kind": kind,
        "metadata": {"name": "web", "namespace": "eco2", "generation": generation, "uid": "7"},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "web", "a": "b"}}, "template": template},
        "status": counts | {"observedGeneration": 1, "currentRevision": "b", "updateRevision": "b"},
    }


def pod(state: Document, image: str = "x:2", revision: str = "b", **metadata: Any) -> Document:
    about = {"name": "web-1", "namespace": "eco2", "uid": "1", "labels": {"controller-revision-hash": revision}}
    spec = {"containers": [{"name": "host", "image": image}]}
    return {
        "metadata": about | metadata,
        "spec": spec,
        "status": {"containerStatuses": [{"name": "host", **state}]},
    }


def waits(cluster: Cluster, kind: str = "deployment") -> list[str]:
    said: list[str] = []
    await_rollout(cluster, kind, "web", "eco2", PATIENCE, said.append)
    return said


def test_a_workload_is_looked_at_each_second_until_all_is_there(time: Time) -> None:
    cluster = Shown(lambda: workload(ready=time.passed >= 3), lambda: [pod(READY)])
    assert waits(cluster) == []
    assert time.passed == 3
    look = ["get deployment web eco2", "select pods eco2 app=web,a=b"]
    assert cluster.told == [*look * 3, look[0]], "of what is ready the pods are not asked for"


def test_what_is_gone_is_not_waited_for(time: Time) -> None:
    with pytest.raises(RolloutError, match=r"^deployment/web is gone$"):
        waits(Shown(lambda: None))
    with pytest.raises(RolloutError, match=r"^job/web is gone$"):
        await_job(Shown(lambda: None), "web", "eco2", PATIENCE)
    assert time.passed == 0


@pytest.mark.parametrize(("state", "after"), [(CRASHED, 0), (PULLING, 10)])
def test_what_no_waiting_mends_ends_it_when_it_has_lasted_so_long(time: Time, state: Document, after: float) -> None:
    with pytest.raises(RolloutError, match=r"^pod web-1 host: "):
        waits(Shown(workload, lambda: [pod(state)]))
    assert time.passed == after


def test_what_has_passed_and_comes_again_counts_anew(time: Time) -> None:
    with pytest.raises(RolloutError):
        waits(Shown(workload, lambda: [pod(READY if time.passed == 9 else PULLING)]))
    assert time.passed == 20


def test_what_may_pass_is_said_once_and_waited_for_to_the_end(time: Time) -> None:
    said: list[str] = []
    cluster = Shown(workload, lambda: [pod(UNREADY)])
    cluster.told = []

    def say(text: str) -> None:
        said.append(f"{time.passed:g} {text}")

    with pytest.raises(
        RolloutError, match=r"^deployment/web took longer than 300 s: 0 of 1 .*; pod web-1 host runs and is"
    ):
        await_rollout(cluster, "deployment", "web", "eco2", PATIENCE, say)
    assert time.passed == 301, "at its last second it may still come"
    assert said == ["10   deployment/web: pod web-1 host runs and is not ready; waiting"]


def test_who_is_ready_in_the_last_second_is(time: Time) -> None:
    assert waits(Shown(lambda: workload(ready=time.passed >= 301))) == []
    with pytest.raises(RolloutError, match=r"took longer than 300 s: 0 of 1 new pods are ready$"):
        waits(Shown(workload))


def test_pods_of_before_are_not_asked_and_why_there_are_none_is_asked_where_there_are_none(time: Time) -> None:
    refused = workload()
    refused["status"]["conditions"] = [{"type": "ReplicaFailure", "status": "True", "message": "no rights"}]
    with pytest.raises(RolloutError, match=r"^deployment/web makes no pods: no rights$"):
        waits(Shown(lambda: refused, lambda: [pod(CRASHED, image="x:1")]))
    with pytest.raises(RolloutError, match=r"took longer"):
        waits(Shown(lambda: refused, lambda: [pod(READY)]))


@pytest.mark.parametrize(
    ("conditions", "says"),
    [
        ([{"type": "Complete", "status": "True"}], ""),
        ([{"type": "Complete", "status": "True"}, {"type": "Failed", "status": "False"}], ""),
        (
            [{"type": "Failed", "status": "True", "message": "too often"}],
            r"^job/web failed: too often\n    last words$",
        ),
        ([{"type": "Failed", "status": "True"}], r"^job/web failed: \n    last words$"),
        ([{"type": "Complete", "status": "False"}], r"^job/web took longer than 300 s: it has not ended$"),
        ([], r"^job/web took longer than 300 s: it has not ended$"),
    ],
)
def test_a_job_has_ended_when_it_says_so(time: Time, conditions: list[Document], says: str) -> None:
    job = workload("Job") | {"status": {"conditions": conditions}}
    cluster = Shown(lambda: job, lambda: [pod(READY)])
    if says:
        with pytest.raises(RolloutError, match=says):
            await_job(cluster, "web", "eco2", PATIENCE)
        assert "select pods eco2 batch.kubernetes.io/job-name=web" in cluster.told
    else:
        await_job(cluster, "web", "eco2", PATIENCE)
        assert cluster.told == ["get job web eco2"]


@pytest.mark.parametrize(
    ("metadata", "spec", "new"),
    [
        ({}, {}, True),
        ({"annotations": {"a": "1", "server": "2"}}, {}, True),
        ({"annotations": {"a": "2"}}, {}, False),
        ({"annotations": None}, {}, False),
        ({}, {"containers": [{"name": "host", "image": "x:1"}, {"name": "beside", "image": "y:1"}]}, False),
        ({}, {"containers": [{"name": "host", "image": "x:2"}]}, False),
        ({}, {"initContainers": [{"name": "first", "image": "z:2"}]}, False),
        ({}, {"initContainers": []}, False),
    ],
)
def test_a_pod_is_new_that_has_the_template_s_images_and_marks(metadata: Document, spec: Document, new: bool) -> None:
    pods = {
        "containers": [{"name": "host", "image": "x:2"}, {"name": "beside", "image": "y:1"}],
        "initContainers": [{"name": "first", "image": "z:1"}],
    }
    found = workload()
    found["spec"]["template"] = {"metadata": {"annotations": {"a": "1"}}, "spec": pods}
    assert _is_new({"metadata": {"annotations": {"a": "1"}} | metadata, "spec": pods | spec}, found) is new


@pytest.mark.parametrize(
    ("generation", "revision", "new"), [(1, "b", True), (1, "a", False), (2, "b", False), (1, None, False)]
)
def test_a_pod_of_a_statefulset_is_new_by_the_revision_that_its_controller_speaks_of(
    generation: int, revision: str, new: bool
) -> None:
    assert _is_new(pod(READY, revision=revision), workload("StatefulSet", generation=generation)) is new


@pytest.mark.parametrize(
    ("state", "metadata", "after"),
    [
        (CRASHED, {}, 0),
        (PULLING, {}, 10),
        (UNREADY, {}, 60),  # it may only be starting slowly
        (READY, {}, None),
        (CRASHED, {"deletionTimestamp": "2026-01-02T03:04:05Z"}, None),
    ],
)
def test_a_pod_that_is_in_the_way_is_deleted_when_it_has_been_for_so_long(
    time: Time, state: Document, metadata: Document, after: float | None
) -> None:
    cluster = Shown(workload)
    stuck = _Stuck(cluster, PATIENCE)
    stuck.see([])
    for second in range(120):
        stuck.see([pod(state, **metadata)])
        if cluster.told:
            assert cluster.told == ["delete pod web-1 eco2 False"], "that of a lost node is never gone"
            assert second == after
            return
        time.sleep(1)
    assert after is None


@pytest.mark.parametrize(
    ("kind", "generation", "revision", "deleted"),
    [
        ("StatefulSet", 1, "a", True),
        ("StatefulSet", 1, "b", False),
        ("StatefulSet", 2, "a", False),  # its controller has yet to say which are new
        ("Deployment", 1, "a", False),
    ],
)
def test_only_old_pods_of_a_statefulset_are_in_the_way(
    time: Time, kind: str, generation: int, revision: str, deleted: bool
) -> None:
    cluster = Shown(lambda: workload(kind, time.passed >= 70, generation), lambda: [pod(UNREADY, "x:1", revision)])
    with pytest.raises(RolloutError) if generation == 2 else nullcontext():
        waits(cluster, kind.lower())
    assert any(told.startswith("delete") for told in cluster.told) is deleted
