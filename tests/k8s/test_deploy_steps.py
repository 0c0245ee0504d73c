"""What a deploy tells a cluster, step by step: every moment is a working system, and what fails goes back"""

from collections.abc import Iterable
from typing import Any

import msgspec
import pytest

from k8s.programs.changes import Plan, ServiceChange
from k8s.programs.cluster import Cluster, ClusterError
from k8s.programs.deploy import DeployError, Deployment, _only, record_document
from k8s.programs.environments import environments
from k8s.programs.images import TOOLS, Image, Record, UnknownImage
from k8s.programs.objects import ObjectChange
from k8s.programs.plan import Situation
from k8s.programs.rollout import Patience
from k8s.programs.templates import Document
from runtime.services import load_services

BAD = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}


class Obedient(Cluster):
    """A cluster that notes what it is told, and in which all is ready at once but what `breaks`: a job or a workload by its name.

    A workload that goes back is ready again, but those that are `worse`; those that are `stuck` can't go back.
    """

    def __init__(
        self,
        breaks: Iterable[str] = (),
        has: Iterable[Document] = (),
        stuck: Iterable[str] = (),
        worse: Iterable[str] = (),
    ) -> None:
        super().__init__()
        self.breaks, self.stuck, self.worse = set(breaks), set(stuck), set(worse)
        self.has = {(one["kind"].lower(), one["metadata"]["name"]): one for one in has}
        self.told: list[str] = []

    def apply(self, documents: Iterable[Document]) -> None:
        for one in documents:
            self.has[one["kind"].lower(), one["metadata"]["name"]] = one
            self.told.append(f"{one['kind']} {one['metadata']['name']}")

    def delete(self, kind: str, name: str, space: str, *, wait: bool = True) -> None:
        self.told.append(f"delete {kind} {name}")

    def undo(self, kind: str, name: str, space: str) -> None:
        self.told.append(f"undo {kind} {name}")
        if name in self.stuck:
            raise ClusterError("kubectl rollout undo: no such revision")
        if name not in self.worse:
            self.breaks.discard(name)

    def get(self, kind: str, name: str, space: str) -> Document | None:
        found = self.has.get((kind, name))
        if found is None:
            return None
        if kind == "job":
            met = "Failed" if name in self.breaks else "Complete"
            return {"status": {"conditions": [{"type": met, "status": "True", "message": "it broke"}]}} | found
        ready = 0 if name in self.breaks else 1
        counts = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), ready)
        return found | {"status": counts | {"observedGeneration": 1, "currentRevision": "b", "updateRevision": "b"}}

    def select(self, kinds: str, space: str, selector: str = "") -> list[Document]:
        name = selector.partition("=")[2]
        if name not in self.breaks or "job-name" in selector:
            return []
        state = {"name": "host", "state": BAD}
        spec = {"containers": [{"name": "host", "image": f"{name}:new"}]}
        return [
            {
                "metadata": {"name": f"{name}-1", "labels": {"controller-revision-hash": "b"}},
                "spec": spec,
                "status": {"containerStatuses": [state]},
            }
        ]

    def run(self, *words: str, text: str | None = None) -> str:
        return ""


def workload(name: str, kind: str = "Deployment", space: str = "eco2", service: str = "") -> Document:
    labels = {"labels": {"eco2/service": service}} if service else {}
    pod = {"metadata": {}, "spec": {"containers": [{"name": "host", "image": f"{name}:new"}]}}
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": pod}
    return {"kind": kind, "metadata": {"name": name, "namespace": space, "generation": 1, **labels}, "spec": spec}


def thing(kind: str, name: str, service: str = "") -> Document:
    labels = {"labels": {"eco2/service": service}} if service else {}
    return {"kind": kind, "metadata": {"name": name, "namespace": "eco2", **labels}}


SERVICES = {service.name: service for service in load_services().values()}
AFTER = "functions/waste/migrations/0002_less.after.sql"


def image(name: str, *files: str) -> Image:
    return Image(name, name, "host", Record("new", inputs={"a": "b"}), [], {}, list(files), [], SERVICES.get(name))


DOCUMENTS = [
    workload("web", service=""),
    thing("Service", "web"),
    thing("Namespace", "eco2"),
    workload("api-waste", service="api-waste"),
    workload("api-waste-search", service="api-waste"),
    thing("ServiceAccount", "api-waste", "api-waste"),
    thing("Service", "api-waste", "api-waste"),
    workload("worker-ai", "StatefulSet", service="worker-ai"),
    workload("api-auth", service="api-auth"),
]
IMAGES = [image("api-waste", AFTER), image("api-auth"), image("worker-ai"), image(TOOLS)]
TOLD = {  # a job of the service's image
    "before": "Job migrate-waste-new-before",
    "after": "Job migrate-waste-new-after",
}


def new(kind: str, name: str, change: Any = "changed", diff: str = "+ spec.template.x: 1") -> ObjectChange:
    return ObjectChange(kind, "eco2", name, change, [diff])


def entry(
    name: str, change: Any = "changed", running: str | None = "old", *objects: ObjectChange, **more: str
) -> ServiceChange:
    return ServiceChange(name, "new", running, change, objects=list(objects), **more)  # type: ignore[arg-type] # mypy takes `more` for one type


def deploy(cluster: Cluster, plan: Plan, env: str = "prod", said: list[str] | None = None) -> None:
    situation = Situation(plan, IMAGES, DOCUMENTS)
    say = said.append if said is not None else lambda _: None
    Deployment(cluster, environments()[env], situation, Patience(0.5), say).run(plan)


@pytest.mark.parametrize(
    ("plan", "told"),
    [
        (Plan([]), []),
        (Plan([entry("api-waste", "unchanged")], entry(TOOLS, "unchanged")), []),
        (Plan([entry("api-old", "removed")]), []),
        (
            Plan([entry("api-auth", "manifests")], entry(TOOLS), [new("Deployment", "web"), new("Namespace", "eco2", "new")]),
            [
                *("Namespace eco2", "Deployment web"),
                *("Job prepare-new", "ConfigMap record-tools"),
                *("Deployment api-auth", "ConfigMap record-api-auth"),
            ],
        ),
        # Its account first, for its migrations run as it; what takes away comes when no old pod is left.
        (
            Plan([entry("api-waste")]),
            [
                *("ServiceAccount api-waste", TOLD["before"]),
                *("Deployment api-waste", "Deployment api-waste-search", "ServiceAccount api-waste", "Service api-waste"),
                *(TOLD["after"], "ConfigMap record-api-waste"),
            ],
        ),
        # The same image: its migrations have run.
        (
            Plan([entry("api-waste", "manifests")]),
            [
                *("Deployment api-waste", "Deployment api-waste-search", "ServiceAccount api-waste", "Service api-waste"),
                "ConfigMap record-api-waste",
            ],
        ),
        # A service with nothing to take away, and a worker, whose schema others bring up to date.
        (
            Plan([entry("api-auth", "new", None)]),
            ["Job migrate-auth-new-before", "Deployment api-auth", "ConfigMap record-api-auth"],
        ),
        (Plan([entry("worker-ai")]), ["StatefulSet worker-ai", "ConfigMap record-worker-ai"]),
    ],
)  # fmt: skip
def test_what_others_need_comes_first_and_the_record_when_all_is_done(plan: Plan, told: list[str]) -> None:
    cluster = Obedient()
    deploy(cluster, plan)
    assert cluster.told == told


def test_each_change_is_said_and_what_is_to_be_removed_by_hand_too() -> None:
    said: list[str] = []
    plan = Plan([entry("api-auth", "manifests"), entry("api-old", "removed")], None, [new("Service", "web", "new")])
    deploy(Obedient(), plan, said=said)
    assert said == [
        "Service eco2/web new",
        "api-auth old -> new",
        "api-old runs and is in no service.toml: remove it by hand when nothing needs it",
    ]


@pytest.mark.parametrize(
    ("plan", "breaks", "stuck", "told", "says"),
    [
        # Nothing is begun where the base has what can't be done, and no service after one that failed.
        (
            Plan([entry("api-auth")], None, [new("Namespace", "eco2", "new"), new("Service", "web", "refused", "! no")]),
            [], [], [], r"^can't be changed in place \(k8s/RUNBOOK.md says how\): Service eco2/web ! no$",
        ),
        (
            Plan([entry("api-auth", "changed", "old", new("Service", "api-auth", "refused", "! no")), entry("worker-ai")]),
            [], [], [], r"^api-auth can't be changed in place .*: Service eco2/api-auth ! no$",
        ),
        (
            Plan([entry("api-auth")], entry(TOOLS)),
            ["prepare-new"], [], ["Job prepare-new"], "^roles and schemas were not made: job/prepare-new failed: it broke",
        ),
        (
            Plan([entry("api-waste"), entry("worker-ai")]),
            ["migrate-waste-new-before"], [], ["ServiceAccount api-waste", TOLD["before"]],
            "^api-waste: its migrations failed, nothing of it was rolled out: job/",
        ),
        (
            Plan([entry("api-waste"), entry("worker-ai")]),
            ["migrate-waste-new-after"], [],
            [
                *("ServiceAccount api-waste", TOLD["before"]),
                *("Deployment api-waste", "Deployment api-waste-search", "ServiceAccount api-waste", "Service api-waste"),
                TOLD["after"],
            ],
            "^api-waste: its migrations failed, the new pods run, what they no longer need is still there: job/",
        ),
        # Of its workloads those go back whose pods were to change.
        (
            Plan([entry("api-waste", "manifests", "old", new("Deployment", "api-waste"),
                        new("Deployment", "api-waste-search", diff="+ spec.replicas: 3")), entry("worker-ai")]),
            ["api-waste"], [],
            ["Deployment api-waste", "Deployment api-waste-search", "ServiceAccount api-waste", "Service api-waste",
             "undo deployment api-waste"],
            "^api-waste did not become ready and was rolled back to old: pod api-waste-1 host: CrashLoopBackOff: back-off",
        ),
        # A rollout that is taken up again: its pods are of this tag already, and all of them came from another.
        (
            Plan([entry("worker-ai", "changed", "new", new("StatefulSet", "worker-ai", diff="+ spec.x: 1"), before="older")]),
            ["worker-ai"], [], ["StatefulSet worker-ai", "undo statefulset worker-ai"],
            "^worker-ai did not become ready and was rolled back to older: ",
        ),
        (
            Plan([entry("worker-ai", "new", None, new("StatefulSet", "worker-ai", "new"))]),
            ["worker-ai"], [], ["StatefulSet worker-ai"],
            "^worker-ai did not become ready, and there is nothing to go back to: ",
        ),
        (
            Plan([entry("worker-ai", "changed", "old", new("StatefulSet", "worker-ai"))]),
            ["worker-ai"], ["worker-ai"], ["StatefulSet worker-ai", "undo statefulset worker-ai"],
            r"^worker-ai did not become ready, and statefulset/worker-ai did not go back either "
            r"\(kubectl rollout undo: no such revision\): ",
        ),
        (
            Plan([entry("api-auth")], None, [new("Deployment", "web")]),
            ["web"], [], ["Deployment web", "undo deployment web"], "^web did not become ready and was rolled back: ",
        ),
    ],
)  # fmt: skip
def test_what_fails_goes_back_as_far_as_it_was_changed_and_nothing_comes_after_it(
    plan: Plan, breaks: list[str], stuck: list[str], told: list[str], says: str
) -> None:
    cluster = Obedient(breaks, stuck=stuck)
    with pytest.raises(DeployError, match=says):
        deploy(cluster, plan)
    assert cluster.told == told


def test_what_does_not_become_ready_where_it_went_back_to_is_said_too() -> None:
    cluster = Obedient(["web"], worse=["web"])
    says = r"^web did not become ready, and deployment/web did not go back either \(pod web-1 host: CrashLoopBackOff"
    with pytest.raises(DeployError, match=says):
        deploy(cluster, Plan([entry("api-auth")], None, [new("Deployment", "web")]))
    assert cluster.told == ["Deployment web", "undo deployment web"]


ANEW = ["delete job prepare-new", "Job prepare-new", "ConfigMap record-tools"]


@pytest.mark.parametrize(
    ("active", "metadata", "registry", "told"),
    [
        (1, {}, "", ["ConfigMap record-tools"]),
        (0, {}, "", ANEW),
        # Somebody has taken it back: it ends with nothing done.
        (1, {"deletionTimestamp": "2026-01-02T03:04:05Z"}, "", ANEW),
        (1, {}, "elsewhere.example/", ANEW),
    ],
)
def test_a_job_that_a_deploy_before_has_begun_goes_on_and_another_is_made_anew(
    active: int, metadata: Document, registry: str, told: list[str]
) -> None:
    cluster = Obedient()
    deploy(cluster, Plan([], entry(TOOLS)))
    there = msgspec.json.decode(msgspec.json.encode(cluster.has["job", "prepare-new"]))
    there["metadata"] |= metadata
    (container,) = there["spec"]["template"]["spec"]["containers"]
    container["image"] = registry + container["image"]
    there["status"] = {"conditions": [{"type": "Complete", "status": "True"}], "active": active}
    cluster = Obedient(has=[there])
    deploy(cluster, Plan([], entry(TOOLS)))
    assert cluster.told == told


@pytest.mark.parametrize("env", ["dev", "prod"])
def test_a_job_runs_anywhere_in_a_small_cluster_and_by_its_store_in_a_large_one(env: str) -> None:
    cluster = Obedient()
    deploy(cluster, Plan([entry("api-waste")], entry(TOOLS)), env)
    pods = [one["spec"]["template"]["spec"] for (kind, _), one in cluster.has.items() if kind == "job"]
    assert len(pods) == 3
    assert {"nodeSelector" in pod for pod in pods} == {env == "prod"}
    registry = environments()[env].registry
    images = {pod["containers"][0]["image"] for pod in pods}
    assert images == {f"{registry}/tools:new", f"{registry}/api-waste:new"}


def test_a_record_tells_the_next_plan_what_the_image_was_made_from() -> None:
    found = record_document(image("api-waste"))
    assert found["metadata"]["labels"]["eco2/record"] == "api-waste"
    assert found["metadata"]["namespace"] == "eco2"
    assert msgspec.json.decode(found["data"]["record.json"], type=Record) == Record("new", inputs={"a": "b"})


def test_of_a_plan_some_services_alone_are_done_and_no_base() -> None:
    plan = Plan([entry("api-auth"), entry("api-waste")], entry(TOOLS), [new("Service", "web")])
    situation = Situation(plan, IMAGES)
    assert _only(situation, None) is plan
    assert _only(situation, ["waste", TOOLS]) == Plan([entry("api-waste")], entry(TOOLS))
    assert _only(situation, ["api-auth"]) == Plan([entry("api-auth")])
    with pytest.raises(UnknownImage, match="there is no service wast; there are api-auth"):
        _only(situation, ["wast"])
