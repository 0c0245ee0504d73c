"""What makes the test's cluster live: Deployments, StatefulSets and Jobs get pods, which get ready or fail by a test's rules."""

import copy
import hashlib
import json
import re
import threading
from typing import NamedTuple

from tests.k8s.api import budgets
from tests.k8s.api.budgets import is_ready
from tests.k8s.api.kinds import Document
from tests.k8s.api.scheduler import place
from tests.k8s.api.store import BY_KIND, Key, Refused, Store, now

TICK = 0.03  # seconds between two looks at the whole


class Rule(NamedTuple):
    """What becomes of pods whose name or image fits."""

    fits: str  # a regular expression over "NAME IMAGE"
    does: str  # "pullfail", "crash", "unready", "nonode", "fail" (a job's), "hang"
    log: str = ""


class Controllers:
    """A thread that brings the objects closer to what they should be, at each tick."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.rules: list[Rule] = []
        self.refused: dict[str, str] = {}  # a Deployment's uid to why its pods can't be made
        self._seen: tuple[int, int] = (0, 0)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    def rule_of(self, pod: Document) -> Rule | None:
        images = " ".join(
            c.get("image", "") for c in [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]
        )
        text = f"{pod['metadata']['name']} {images}"
        return next((rule for rule in self.rules if re.search(rule.fits, text)), None)

    def _run(self) -> None:
        while not self._stop.wait(TICK):
            with self.store.lock:
                at = (self.store.version, len(self.rules))
                if at != self._seen:  # else the look before has found nothing to do
                    self._seen = at
                    self._look()

    def _look(self) -> None:
        works = {"Deployment": self._deployment, "StatefulSet": self._statefulset, "DaemonSet": self._daemonset}
        for kind, work in {**works, "Job": self._job}.items():
            for key in [key for key in self.store.objects if key[0] == kind]:
                work(key)
        for key in [key for key in self.store.objects if key[0] == "Pod"]:
            self._pod(key)
        for key in [key for key in self.store.objects if key[0] == "PodDisruptionBudget"]:
            self.store.set_status(key, budgets.status(self.store, self.store.objects[key]))
        self._collect()

    # Workloads

    def _deployment(self, key: Key) -> None:
        found = self.store.objects[key]
        revision = _hash(found["spec"]["template"])
        own = self._owned("ReplicaSet", found)
        current = next((rs for rs in own if rs["metadata"]["labels"]["pod-template-hash"] == revision), None)
        newest = max((_revision(rs) for rs in own), default=0)
        if current is None or (_revision(current) < newest):
            self._replica_set(found, revision, newest + 1)
        marks = found["metadata"].setdefault("annotations", {})
        marks["deployment.kubernetes.io/revision"] = str(
            max((_revision(rs) for rs in self._owned("ReplicaSet", found)), default=1)
        )
        pods = self._pods(found)
        new = [pod for pod in pods if pod["metadata"]["labels"]["pod-template-hash"] == revision]
        old = [pod for pod in pods if pod not in new]
        wanted = found["spec"]["replicas"]
        self.refused.pop(found["metadata"]["uid"], None)
        surge, away = _rolling(found["spec"]["strategy"], wanted)
        broken = [pod for pod in old if not is_ready(pod)]
        if len(new) < wanted and len(pods) < wanted + surge:
            name = f"{key[2]}-{revision}-{self.store.version % 100000:05d}"
            self._make_pod(found, name, {"pod-template-hash": revision})
        elif broken:
            self._delete_pod(broken[0])
        elif old and sum(is_ready(pod) for pod in pods) > wanted - away:
            self._delete_pod(old[0])
        elif len(new) > wanted:
            self._delete_pod(new[-1])
        ready = sum(is_ready(pod) for pod in pods)
        # Once all were ready together a rollout has ended, whatever becomes of its pods later.
        reasons = {c["type"]: c["reason"] for c in found.get("status", {}).get("conditions", [])}
        ended = reasons.get("Progressing") == "NewReplicaSetAvailable" and current is not None
        done = not old and (ended or sum(is_ready(pod) for pod in new) >= wanted)
        reason = "NewReplicaSetAvailable" if done else "ReplicaSetUpdated"
        conditions = [{"type": "Progressing", "status": "True", "reason": reason}]
        if text := self.refused.get(found["metadata"]["uid"]):
            failed = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": text}
            conditions.append(failed)
        status = {
            "observedGeneration": found["metadata"]["generation"],
            "replicas": len(pods),
            "updatedReplicas": len(new),
            "readyReplicas": ready,
            "availableReplicas": ready,
            "unavailableReplicas": max(wanted - ready, 0),
            "conditions": conditions,
        }
        self.store.set_status(key, status)

    def _replica_set(self, owner: Document, revision: str, number: int) -> None:
        metadata = owner["metadata"]
        labels = {**owner["spec"]["template"]["metadata"]["labels"], "pod-template-hash": revision}
        name = f"{metadata['name']}-{revision}"
        template = copy.deepcopy(owner["spec"]["template"])
        template["metadata"]["labels"] = labels
        body = {
            "metadata": {
                "name": name,
                "namespace": metadata["namespace"],
                "labels": labels,
                "annotations": {"deployment.kubernetes.io/revision": str(number)},
                "ownerReferences": [_owner(owner)],
            },
            "spec": {"selector": {"matchLabels": labels}, "template": template},
        }
        there = ("ReplicaSet", metadata["namespace"], name)
        if there in self.store.objects:
            self.store.objects[there]["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = str(number)
        else:
            self.store.create(BY_KIND["ReplicaSet"], metadata["namespace"], body, "controller")

    def _statefulset(self, key: Key) -> None:
        found = self.store.objects[key]
        revision = f"{key[2]}-{_hash(found['spec']['template'])}"
        self._controller_revision(found, revision)
        pods = {pod["metadata"]["name"]: pod for pod in self._pods(found)}
        # One that goes in order waits for the pods that it has, though they may never be ready.
        parallel = found["spec"]["podManagementPolicy"] == "Parallel"
        names = [f"{key[2]}-{number}" for number in range(found["spec"]["replicas"])]
        missing = [name for name in names if name not in pods]
        outdated = [n for n, pod in pods.items() if pod["metadata"]["labels"]["controller-revision-hash"] != revision]
        if surplus := [name for name in pods if name not in names]:
            self._delete_pod(pods[surplus[-1]])
        elif missing and (parallel or all(is_ready(pod) for pod in pods.values())):
            self._make_pod(found, missing[0], {"controller-revision-hash": revision})
        elif outdated and (parallel or all(is_ready(pod) for pod in pods.values())):
            self._delete_pod(pods[sorted(outdated)[-1]])
        ready = sum(is_ready(pod) for pod in pods.values())
        updated = len([name for name in pods if name not in outdated])
        before = found.get("status", {}).get("currentRevision", revision)
        done = updated == ready == len(names)
        status = {
            "observedGeneration": found["metadata"]["generation"],
            "replicas": len(pods),
            "readyReplicas": ready,
            "availableReplicas": ready,
            "currentRevision": revision if done else before,
            "updateRevision": revision,
            "updatedReplicas": updated,
            "currentReplicas": updated if done else len(outdated),
        }
        self.store.set_status(key, status)

    def _daemonset(self, key: Key) -> None:
        """One pod on each node that takes it; one node after the other gets the new one."""
        found = self.store.objects[key]
        revision = _hash(found["spec"]["template"])
        self._controller_revision(found, f"{key[2]}-{revision}")
        nodes = [
            n for (kind, _, n), node in self.store.objects.items() if kind == "Node" and not node["spec"].get("taints")
        ]
        pods = {pod["metadata"]["labels"]["eco2-test/node"]: pod for pod in self._pods(found)}
        new = [n for n, pod in pods.items() if pod["metadata"]["labels"]["controller-revision-hash"] == revision]
        if missing := [node for node in nodes if node not in pods]:
            name = f"{key[2]}-{self.store.version % 100000:05d}"
            self._make_pod(found, name, {"controller-revision-hash": revision, "eco2-test/node": missing[0]})
        elif (old := [node for node in pods if node not in new]) and all(is_ready(pods[node]) for node in new):
            self._delete_pod(pods[old[0]])
        ready = sum(is_ready(pod) for pod in pods.values())
        status = {
            "observedGeneration": found["metadata"]["generation"],
            "currentNumberScheduled": len(pods),
            "desiredNumberScheduled": len(nodes),
            "updatedNumberScheduled": len(new),
            "numberReady": ready,
            "numberAvailable": ready,
        }
        self.store.set_status(key, status)

    def _controller_revision(self, owner: Document, name: str) -> None:
        metadata = owner["metadata"]
        there = ("ControllerRevision", metadata["namespace"], name)
        known = self._owned("ControllerRevision", owner)
        newest = max((found["revision"] for found in known), default=0)
        if there not in self.store.objects:
            template = {**copy.deepcopy(owner["spec"]["template"]), "$patch": "replace"}
            body = {
                "metadata": {
                    "name": name,
                    "namespace": metadata["namespace"],
                    "labels": owner["spec"]["template"]["metadata"]["labels"],
                    "ownerReferences": [_owner(owner)],
                },
                "data": {"spec": {"template": template}},
                "revision": newest + 1,
            }
            self.store.create(BY_KIND["ControllerRevision"], metadata["namespace"], body, "controller")
        elif self.store.objects[there]["revision"] < newest:
            self.store.objects[there]["revision"] = newest + 1

    def _job(self, key: Key) -> None:
        found = self.store.objects[key]
        if any(c["status"] == "True" for c in found.get("status", {}).get("conditions", [])):
            return
        pods = self._pods(found)
        if not pods:
            self._make_pod(found, f"{key[2]}-{self.store.version % 100000:05d}", {})
            return
        phase = pods[0].get("status", {}).get("phase")
        if phase == "Succeeded":
            done = {"type": "Complete", "status": "True", "reason": "CompletionsReached"}
            self.store.set_status(key, {"succeeded": 1, "conditions": [done]})
        elif phase == "Failed":
            text = "Job has reached the specified backoff limit"
            failed = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": text}
            self.store.set_status(key, {"failed": 1, "conditions": [failed]})
        else:
            self.store.set_status(key, {"active": 1})

    # Pods

    def _make_pod(self, owner: Document, name: str, labels: dict[str, str]) -> None:
        template = copy.deepcopy(owner["spec"]["template"])
        metadata = {
            **template.get("metadata", {}),
            "name": name,
            "namespace": owner["metadata"]["namespace"],
            "ownerReferences": [_owner(owner)],
        }
        metadata["labels"] = {**template.get("metadata", {}).get("labels", {}), **labels}
        body = {"metadata": metadata, "spec": template["spec"]}
        try:
            self.store.create(BY_KIND["Pod"], owner["metadata"]["namespace"], body, "controller")
        except Refused as refused:
            self._note_refusal(owner, name, refused.message)

    def _note_refusal(self, owner: Document, pod: str, message: str) -> None:
        """What the real controllers say: a ReplicaSet's is seen in its Deployment, the others' as events."""
        kind, metadata = owner["kind"], owner["metadata"]
        text = {
            "StatefulSet": f"create Pod {pod} in StatefulSet {metadata['name']} failed error: {message}",
            "Job": f"Error creating: {message.replace(pod, metadata['name'] + '-')}",
        }.get(kind, message)
        if kind == "Deployment":
            self.refused[metadata["uid"]] = message
            return
        key = ("Event", metadata["namespace"], f"{metadata['name']}.refused")
        count = self.store.objects.get(key, {}).get("count", 0) + 1
        about = {"kind": kind, "name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"]}
        event = {
            "metadata": {"name": key[2], "namespace": key[1]},
            "involvedObject": about,
            "reason": "FailedCreate",
            "type": "Warning",
            "message": text,
            "count": count,
            "lastTimestamp": now(),
        }
        self.store.objects.pop(key, None)
        self.store.create(BY_KIND["Event"], key[1], event, "controller")

    def _delete_pod(self, pod: Document) -> None:
        self.store.delete(BY_KIND["Pod"], pod["metadata"]["namespace"], pod["metadata"]["name"])

    def _pod(self, key: Key) -> None:
        pod = self.store.objects[key]
        if pod.get("status", {}).get("phase") in ("Running", "Succeeded", "Failed") and is_ready(pod):
            return
        rule = self.rule_of(pod)
        does = rule.does if rule else ""
        nodes = [found for (kind, _, _), found in self.store.objects.items() if kind == "Node"]
        if nodes and "nodeName" not in pod["spec"] and does != "nonode":
            name, why = place(pod, nodes)
            if not name:
                self.store.set_status(key, _without_node(why))
                return
            self.store.bind(key, name)
            pod = self.store.objects[key]
        is_job = any(owner["kind"] == "Job" for owner in pod["metadata"].get("ownerReferences", []))
        self.store.set_status(key, _status(pod, does, is_job=is_job))

    def _owned(self, kind: str, owner: Document) -> list[Document]:
        uid = owner["metadata"]["uid"]
        return [
            found
            for (k, _, _), found in list(self.store.objects.items())
            if k == kind and any(o["uid"] == uid for o in found["metadata"].get("ownerReferences", []))
        ]

    def _pods(self, owner: Document) -> list[Document]:
        return [pod for pod in self._owned("Pod", owner) if "deletionTimestamp" not in pod["metadata"]]

    def _collect(self) -> None:
        """What belongs to nothing any more goes; what waits for that goes after it."""
        alive = {f["metadata"]["uid"]: f for f in self.store.objects.values()}
        for key, found in list(self.store.objects.items()):
            owners = [alive.get(owner["uid"]) for owner in found["metadata"].get("ownerReferences", [])]
            if owners and all(owner is None or "deletionTimestamp" in owner["metadata"] for owner in owners):
                self.store.delete(BY_KIND[key[0]], key[1], key[2])
        for key, found in list(self.store.objects.items()):
            if "foregroundDeletion" in found["metadata"].get("finalizers", []):
                uid = found["metadata"]["uid"]
                every = [
                    o for other in self.store.objects.values() for o in other["metadata"].get("ownerReferences", [])
                ]
                if uid not in {owner["uid"] for owner in every}:
                    self.store.finish(key, "foregroundDeletion")


def _rolling(strategy: Document, wanted: int) -> tuple[int, int]:
    """How many pods there may be beside the wanted, and how many of the wanted may be away."""
    if strategy["type"] == "Recreate":
        return 0, wanted

    def of(value: int | str, *, up: bool) -> int:
        if isinstance(value, int):
            return value
        share = wanted * int(value.removesuffix("%"))
        return -(-share // 100) if up else share // 100

    rolling = strategy["rollingUpdate"]
    surge, away = of(rolling["maxSurge"], up=True), of(rolling["maxUnavailable"], up=False)
    return surge, away if surge or away else 1


def _hash(template: Document) -> str:
    text = json.dumps(template, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def _revision(found: Document) -> int:
    return int(found["metadata"].get("annotations", {}).get("deployment.kubernetes.io/revision", "0"))


def _owner(found: Document) -> Document:
    return {
        "apiVersion": found["apiVersion"],
        "kind": found["kind"],
        "name": found["metadata"]["name"],
        "uid": found["metadata"]["uid"],
        "controller": True,
    }


def _without_node(why: str) -> Document:
    unplaced = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": why}
    return {"phase": "Pending", "conditions": [unplaced]}


def _status(pod: Document, does: str, *, is_job: bool) -> Document:
    """A pod's status, in the kubelet's and the scheduler's words."""
    if does == "nonode":
        return _without_node("0/13 nodes are available: 13 node(s) didn't match Pod's node affinity/selector.")
    states = []
    for container in pod["spec"]["containers"]:
        image = container.get("image", "")
        state: Document = {"name": container["name"], "image": image, "ready": False, "restartCount": 0}
        if does == "pullfail":
            text = f'Back-off pulling image "{image}": ErrImagePull: failed to resolve reference "{image}": not found'
            state["state"] = {"waiting": {"reason": "ImagePullBackOff", "message": text}}
        elif does == "crash":
            text = f"back-off 10s restarting failed container={container['name']} pod={pod['metadata']['name']}"
            state["state"] = {"waiting": {"reason": "CrashLoopBackOff", "message": text}}
            state["restartCount"] = 2
        elif is_job and does != "hang":
            code = 1 if does == "fail" else 0
            state["state"] = {"terminated": {"exitCode": code, "reason": "Error" if code else "Completed"}}
        else:
            state["state"] = {"running": {"startedAt": now()}}
            state["ready"] = does not in ("unready", "hang")
        states.append(state)
    ready = all(state["ready"] for state in states)
    phase = "Running" if any("running" in state["state"] for state in states) else "Pending"
    if is_job and does in ("", "fail"):
        phase = "Failed" if does == "fail" else "Succeeded"
    conditions = [
        {"type": "PodScheduled", "status": "True"},
        {"type": "Ready", "status": "True" if ready else "False"},
    ]
    return {"phase": phase, "conditions": conditions, "containerStatuses": states}
