"""Budgets of disruption, as the real controller counts them, and the evictions that they refuse.

A budget wants so many healthy pods of those that its selector finds; how many there should be is what their owners ask for.
"""

from tests.k8s.api.kinds import Document
from tests.k8s.api.store import Refused, Store

_TOO_MANY = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
_VIOLATED = "Cannot evict pod as it would violate the pod's disruption budget."


def status(store: Store, budget: Document) -> Document:
    """A budget's counts now."""
    pods = [pod for pod in _pods(store, budget) if pod.get("status", {}).get("phase") not in ("Succeeded", "Failed")]
    expected = sum(_asked(store, owner) for owner in {_owner(pod) for pod in pods} if owner)
    healthy = sum(is_ready(pod) and "deletionTimestamp" not in pod["metadata"] for pod in pods)
    spec = budget["spec"]
    if "maxUnavailable" in spec:
        desired = max(expected - _share(spec["maxUnavailable"], expected), 0)
    else:
        desired = _share(spec["minAvailable"], expected)
    allowed = max(healthy - desired, 0) if expected else 0
    met = {"type": "DisruptionAllowed", "observedGeneration": budget["metadata"]["generation"], "message": ""}
    met |= (
        {"status": "True", "reason": "SufficientPods"} if allowed else {"status": "False", "reason": "InsufficientPods"}
    )
    return {
        "conditions": [met],
        "currentHealthy": healthy,
        "desiredHealthy": desired,
        "disruptionsAllowed": allowed,
        "expectedPods": expected,
        "observedGeneration": budget["metadata"]["generation"],
    }


def check_eviction(store: Store, pod: Document) -> None:
    """Whether a pod may be evicted.

    Raises:
        Refused: its budget allows no more, or it has more than one.
    """
    space = pod["metadata"]["namespace"]
    budgets = [
        found
        for (kind, where, _), found in store.objects.items()
        if (kind, where) == ("PodDisruptionBudget", space) and pod in _pods(store, found)
    ]
    if len(budgets) > 1:
        raise Refused(500, "", _TOO_MANY)
    if not budgets or pod.get("status", {}).get("phase") in ("Pending", "Succeeded", "Failed"):
        return
    counts = status(store, budgets[0])
    # One that is not ready may go where the budget has what it wants without it (IfHealthyBudget).
    beside = not is_ready(pod) and 0 < counts["desiredHealthy"] <= counts["currentHealthy"]
    if not counts["disruptionsAllowed"] and not beside:
        name, wants, has = budgets[0]["metadata"]["name"], counts["desiredHealthy"], counts["currentHealthy"]
        text = f"The disruption budget {name} needs {wants} healthy pods and has {has} currently"
        raise Refused(429, "TooManyRequests", _VIOLATED, [{"reason": "DisruptionBudget", "message": text}])


def is_ready(pod: Document) -> bool:
    conditions = {c["type"]: c["status"] for c in pod.get("status", {}).get("conditions", [])}
    return conditions.get("Ready") == "True"


def _pods(store: Store, budget: Document) -> list[Document]:
    wanted = budget["spec"]["selector"].get("matchLabels", {}).items()
    space = budget["metadata"]["namespace"]
    return [
        found
        for (kind, where, _), found in store.objects.items()
        if (kind, where) == ("Pod", space) and wanted <= (found["metadata"].get("labels") or {}).items()
    ]


def _owner(pod: Document) -> str:
    return next((owner["uid"] for owner in pod["metadata"].get("ownerReferences", []) if owner.get("controller")), "")


def _asked(store: Store, uid: str) -> int:
    """How many pods an owner asks for."""
    found = next((found for found in store.objects.values() if found["metadata"]["uid"] == uid), None)
    replicas: int = found["spec"].get("replicas", 1) if found else 0
    return replicas


def _share(value: int | str, whole: int) -> int:
    return value if isinstance(value, int) else -(-whole * int(value.removesuffix("%")) // 100)
