"""What the API server refuses of a pod beside its form: by its namespace's pod security, and where what it names is not there."""

from collections.abc import Iterator

from tests.k8s.api.kinds import Document

LABEL = "pod-security.kubernetes.io/enforce"


def refusal(pod: Document, objects: dict[tuple[str, str, str], Document]) -> str:
    """Why a pod must not be made, in the server's words; empty: it may."""
    space, spec = pod["metadata"]["namespace"], pod["spec"]
    account = spec.get("serviceAccountName", "default")
    if account != "default" and ("ServiceAccount", space, account) not in objects:
        return f'error looking up service account {space}/{account}: serviceaccount "{account}" not found'
    priority = spec.get("priorityClassName", "")
    if priority and not priority.startswith("system-") and ("PriorityClass", "", priority) not in objects:
        return f"no PriorityClass with name {priority} was found"
    level = (objects["Namespace", "", space]["metadata"].get("labels") or {}).get(LABEL)
    if level == "restricted" and (found := ", ".join(violations(spec))):
        return f'violates PodSecurity "restricted:latest": {found}'
    return ""


def violations(spec: Document) -> Iterator[str]:
    """What `restricted` has against a pod, rule by rule."""
    containers = [*spec.get("initContainers", []), *spec["containers"]]
    own = {c["name"]: c.get("securityContext") or {} for c in containers}
    whole = spec.get("securityContext") or {}
    if bad := [name for name, given in own.items() if given.get("allowPrivilegeEscalation") is not False]:
        yield f"allowPrivilegeEscalation != false ({_named(bad)} must set securityContext.allowPrivilegeEscalation=false)"
    dropped = {name: (given.get("capabilities") or {}).get("drop", []) for name, given in own.items()}
    if bad := [name for name in own if "ALL" not in dropped[name]]:
        yield f'unrestricted capabilities ({_named(bad)} must set securityContext.capabilities.drop=["ALL"])'
    if bad := [name for name, given in own.items() if not given.get("runAsNonRoot", whole.get("runAsNonRoot"))]:
        yield f"runAsNonRoot != true (pod or {_named(bad)} must set securityContext.runAsNonRoot=true)"
    profiles = {name: given.get("seccompProfile") or whole.get("seccompProfile") or {} for name, given in own.items()}
    if bad := [
        name for name, profile in profiles.items() if profile.get("type") not in ("RuntimeDefault", "Localhost")
    ]:
        must = 'must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
        yield f"seccompProfile (pod or {_named(bad)} {must})"


def _named(names: list[str]) -> str:
    return f"container{'s' if len(names) > 1 else ''} " + ", ".join(f'"{name}"' for name in names)
