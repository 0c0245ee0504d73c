"""What the API server refuses of an object as it would be: by itself, and against what is there now."""

import copy
import json
from collections.abc import Iterator
from typing import Any

from k8s.programs.quantities import mebibytes
from tests.k8s.api.kinds import Document, pod_spec

_STATEFULSET_MAY_CHANGE = {
    *("replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit"),
    *("persistentVolumeClaimRetentionPolicy", "minReadySeconds"),
}
_STATEFULSET = (
    "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy',"
    " 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
)
_POD = (
    "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)
_CLAIM = (
    "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName"
    " for bound claims"
)


def refusal(live: Document | None, new: Document) -> str:
    """Why an object must not become so, in the server's words; empty: it may."""
    found = next(_by_itself(new), "")
    return found if found or live is None else next(_against(live, new), "")


def _by_itself(new: Document) -> Iterator[str]:
    kind, spec = new["kind"], new.get("spec", {})
    where = {"Pod": "spec", "CronJob": "spec.jobTemplate.spec.template.spec"}.get(kind, "spec.template.spec")
    pod = pod_spec(new) or {}
    for group in ("initContainers", "containers"):
        for place, container in enumerate(pod.get(group, [])):
            at, resources = f"{where}.{group}[{place}]", container.get("resources", {})
            if not container.get("image"):
                yield f"{at}.image: Required value"
            asked, most = (resources.get(part, {}).get("memory") for part in ("requests", "limits"))
            if asked and most and mebibytes(asked) > mebibytes(most):
                text = f"must be less than or equal to memory limit of {most}"
                yield f'{at}.resources.requests: Invalid value: "{asked}": {text}'
    if kind in ("Deployment", "StatefulSet", "DaemonSet"):
        labels = spec["template"]["metadata"].get("labels", {})
        if not spec["selector"].get("matchLabels", {}).items() <= labels.items():
            yield _invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`")
    if kind == "PodDisruptionBudget" and {"minAvailable", "maxUnavailable"} <= spec.keys():
        yield _invalid("spec", spec, "minAvailable and maxUnavailable cannot be both set")


def _against(live: Document, new: Document) -> Iterator[str]:
    kind, spec, old = new["kind"], new.get("spec", {}), live.get("spec", {})
    fixed = "field is immutable"
    if (uid := new["metadata"].get("uid")) not in (None, live["metadata"]["uid"]):
        yield _invalid("metadata.uid", uid, fixed)
    if kind in ("Deployment", "DaemonSet") and spec["selector"] != old["selector"]:
        yield _invalid("spec.selector", spec["selector"], fixed)
    if kind == "StatefulSet" and _differ(spec, old, {*spec, *old} - _STATEFULSET_MAY_CHANGE):
        yield _STATEFULSET
    if kind == "Job":
        for key in ("template", "completions", "selector", "completionMode"):
            if _differ(spec, old, {key}):
                yield _invalid(f"spec.{key}", spec.get(key), fixed)
    if kind in ("ConfigMap", "Secret") and live.get("immutable") and _differ(live, new, {"data"}):
        yield "data: Forbidden: field is immutable when `immutable` is set"
    if kind == "Secret" and _differ(live, new, {"type"}):
        yield _invalid("type", new.get("type"), fixed)
    if kind == "StorageClass" and _differ(live, new, {"parameters"}):
        yield _invalid("parameters", new.get("parameters"), fixed)
    if kind == "Service" and old.get("clusterIP") not in (None, spec.get("clusterIP")):
        yield _invalid("spec.clusterIPs[0]", [spec.get("clusterIP")], "may not change once set")
    if kind in ("RoleBinding", "ClusterRoleBinding") and live["roleRef"] != new["roleRef"]:
        ref = new["roleRef"]
        shown = {"APIGroup": ref["apiGroup"], "Kind": ref["kind"], "Name": ref["name"]}
        yield _invalid("roleRef", shown, "cannot change roleRef")
    if kind == "Pod" and _without_images(spec) != _without_images(old):
        yield _POD
    if kind == "PersistentVolumeClaim":
        if _differ(spec, old, {*spec, *old} - {"resources", "volumeAttributesClassName"}):
            yield _CLAIM
        held = live.get("status", {}).get("capacity", {}).get("storage")
        if held and mebibytes(spec["resources"]["requests"]["storage"]) < mebibytes(held):
            yield "spec.resources.requests.storage: Forbidden: field can not be less than status.capacity"


def _invalid(field: str, value: Any, why: str) -> str:
    return f"{field}: Invalid value: {json.dumps(value, separators=(',', ':'))}: {why}"


def _differ(one: Document, other: Document, keys: set[str]) -> bool:
    return any(one.get(key) != other.get(key) for key in keys)


def _without_images(spec: Document) -> Document:
    found = copy.deepcopy(spec)
    for container in [*found.get("initContainers", []), *found["containers"]]:
        container.pop("image", None)
    return found
