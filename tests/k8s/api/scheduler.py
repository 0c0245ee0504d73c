"""Gives pods a node, where the test's cluster has nodes: by labels and cordons alone. How much room each has is `render`'s to
prove.
"""

from collections.abc import Iterable

from tests.k8s.api.kinds import Document


def place(pod: Document, nodes: Iterable[Document]) -> tuple[str, str]:
    """The name of a node for a pod; or an empty one, and why there is none, in the scheduler's words."""
    every = sorted(nodes, key=lambda node: str(node["metadata"]["name"]))
    affinity = pod["spec"].get("affinity", {}).get("nodeAffinity", {})
    reasons: dict[str, int] = {}
    fitting = []
    for node in every:
        labels = node["metadata"].get("labels", {})
        if node["spec"].get("unschedulable"):
            why = "node(s) were unschedulable"
        elif node["spec"].get("taints"):
            why = "node(s) had untolerated taint(s)"
        elif not _selected(pod["spec"].get("nodeSelector", {}), affinity, labels):
            why = "node(s) didn't match Pod's node affinity/selector"
        else:
            fitting.append((-_liking(affinity, labels), node["metadata"]["name"]))
            continue
        reasons[why] = reasons.get(why, 0) + 1
    if fitting:
        return min(fitting)[1], ""
    said = ", ".join(f"{count} {why}" for why, count in sorted(reasons.items()))
    return "", f"0/{len(every)} nodes are available: {said}."


def _selected(selector: dict[str, str], affinity: Document, labels: dict[str, str]) -> bool:
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution", {}).get("nodeSelectorTerms", [])
    fits = not required or any(_matches(term["matchExpressions"], labels) for term in required)
    return fits and selector.items() <= labels.items()


def _liking(affinity: Document, labels: dict[str, str]) -> int:
    preferred = affinity.get("preferredDuringSchedulingIgnoredDuringExecution", [])
    return sum(p["weight"] for p in preferred if _matches(p["preference"]["matchExpressions"], labels))


def _matches(expressions: list[Document], labels: dict[str, str]) -> bool:
    does = {
        "Exists": lambda has, _: has is not None,
        "In": lambda has, values: has in values,
        "NotIn": lambda has, values: has not in values,
    }
    return all(does[e["operator"]](labels.get(e["key"]), e.get("values", [])) for e in expressions)
