"""The kinds that the test's API server has, how their lists are merged, and what the server adds to them."""

import copy
from typing import Any, NamedTuple

Document = dict[str, Any]


class Kind(NamedTuple):
    kind: str
    plural: str
    version: str  # "v1", "apps/v1"
    namespaced: bool = True
    short: tuple[str, ...] = ()

    @property
    def group(self) -> str:
        return self.version.rpartition("/")[0]

    @property
    def full(self) -> str:
        """`deployments.apps`"""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def full_kind(self) -> str:
        """`Deployment.apps`"""
        return f"{self.kind}.{self.group}" if self.group else self.kind


KINDS = [
    Kind("Namespace", "namespaces", "v1", namespaced=False, short=("ns",)),
    Kind("ConfigMap", "configmaps", "v1", short=("cm",)),
    Kind("Secret", "secrets", "v1"),
    Kind("Service", "services", "v1", short=("svc",)),
    Kind("ServiceAccount", "serviceaccounts", "v1", short=("sa",)),
    Kind("Node", "nodes", "v1", namespaced=False, short=("no",)),
    Kind("PersistentVolume", "persistentvolumes", "v1", namespaced=False, short=("pv",)),
    Kind("Pod", "pods", "v1", short=("po",)),
    Kind("Event", "events", "v1", short=("ev",)),
    Kind("PersistentVolumeClaim", "persistentvolumeclaims", "v1", short=("pvc",)),
    Kind("Deployment", "deployments", "apps/v1", short=("deploy",)),
    Kind("ReplicaSet", "replicasets", "apps/v1", short=("rs",)),
    Kind("StatefulSet", "statefulsets", "apps/v1", short=("sts",)),
    Kind("DaemonSet", "daemonsets", "apps/v1", short=("ds",)),
    Kind("ControllerRevision", "controllerrevisions", "apps/v1"),
    Kind("Job", "jobs", "batch/v1"),
    Kind("CronJob", "cronjobs", "batch/v1", short=("cj",)),
    Kind("HorizontalPodAutoscaler", "horizontalpodautoscalers", "autoscaling/v2", short=("hpa",)),
    Kind("PodDisruptionBudget", "poddisruptionbudgets", "policy/v1", short=("pdb",)),
    Kind("NetworkPolicy", "networkpolicies", "networking.k8s.io/v1", short=("netpol",)),
    Kind("Ingress", "ingresses", "networking.k8s.io/v1", short=("ing",)),
    Kind("StorageClass", "storageclasses", "storage.k8s.io/v1", namespaced=False, short=("sc",)),
    Kind("PriorityClass", "priorityclasses", "scheduling.k8s.io/v1", namespaced=False, short=("pc",)),
    Kind("ClusterRole", "clusterroles", "rbac.authorization.k8s.io/v1", namespaced=False),
    Kind("ClusterRoleBinding", "clusterrolebindings", "rbac.authorization.k8s.io/v1", namespaced=False),
    Kind("Role", "roles", "rbac.authorization.k8s.io/v1"),
    Kind("RoleBinding", "rolebindings", "rbac.authorization.k8s.io/v1"),
    Kind("Lease", "leases", "coordination.k8s.io/v1"),
]
BY_PLURAL = {(kind.version, kind.plural): kind for kind in KINDS}

# Lists whose items are merged by some of their fields, by the name of the field that holds them: for server-side apply, and
# for a strategic merge. Every other list is one value.
LIST_KEYS: dict[str, tuple[str, ...]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "volumeMounts": ("mountPath",),
    "conditions": ("type",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
    "imagePullSecrets": ("name",),
    "ownerReferences": ("uid",),
}
PATCH_KEYS = LIST_KEYS | {"topologySpreadConstraints": ("topologyKey",)}
# Mappings that are one value.
ATOMIC = {"selector", "nodeSelector", "secretKeyRef", "configMapKeyRef", "podSelector", "roleRef", "scaleTargetRef"}


def list_keys(path: tuple[str, ...], table: dict[str, tuple[str, ...]]) -> tuple[str, ...] | None:
    """The fields by which a list at some path is merged."""
    if path[-1:] == ("ports",):
        strategic = table is PATCH_KEYS
        if len(path) > 1 and path[-2] == "spec":  # a Service's
            return ("port",) if strategic else ("port", "protocol")
        return ("containerPort",) if strategic else ("containerPort", "protocol")
    return table.get(path[-1]) if path else None


_POD = {
    "restartPolicy": "Always",
    "terminationGracePeriodSeconds": 30,
    "dnsPolicy": "ClusterFirst",
    "schedulerName": "default-scheduler",
    "securityContext": {},
}
_CONTAINER = {
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
    "resources": {},
}
_PROBE = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}


def _fill(target: Document, values: Document) -> None:
    for key, value in values.items():
        target.setdefault(key, copy.deepcopy(value))


def add_defaults(found: Document) -> None:
    """Add what the API server adds."""
    kind, spec = found["kind"], found.get("spec", {})
    if kind == "Secret":
        found.setdefault("type", "Opaque")
    if kind == "Deployment":
        _fill(spec, {"replicas": 1, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600, "strategy": {}})
        spec["strategy"].setdefault("type", "RollingUpdate")
        if spec["strategy"]["type"] == "RollingUpdate":
            rolling = spec["strategy"].setdefault("rollingUpdate", {})
            _fill(rolling, {"maxUnavailable": "25%", "maxSurge": "25%"})
    if kind == "ReplicaSet":
        _fill(spec, {"replicas": 1})
    if kind == "StatefulSet":
        _fill(
            spec,
            {
                "replicas": 1,
                "revisionHistoryLimit": 10,
                "podManagementPolicy": "OrderedReady",
                "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
                "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
            },
        )
        for claim in spec.get("volumeClaimTemplates", []):
            _fill(claim, {"kind": "PersistentVolumeClaim", "apiVersion": "v1", "status": {"phase": "Pending"}})
            _fill(claim["spec"], {"volumeMode": "Filesystem"})
    if kind == "Service":
        _fill(spec, {"type": "ClusterIP", "sessionAffinity": "None"})
        for port in spec.get("ports", []):
            _fill(port, {"protocol": "TCP", "targetPort": port["port"]})
        if spec["type"] == "ClusterIP":
            _fill(spec, {"internalTrafficPolicy": "Cluster", "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack"})
            _fill(spec, {"clusterIP": "10.96.0.2"})
            _fill(spec, {"clusterIPs": [spec["clusterIP"]]})
    if kind == "Job":
        _fill(spec, {"backoffLimit": 6, "completions": 1, "parallelism": 1, "completionMode": "NonIndexed"})
        _fill(spec, {"suspend": False, "manualSelector": False, "podReplacementPolicy": "TerminatingOrFailed"})
    if kind == "CronJob":
        _fill(spec, {"concurrencyPolicy": "Allow", "suspend": False})
        _fill(spec, {"successfulJobsHistoryLimit": 3, "failedJobsHistoryLimit": 1})
    if kind == "HorizontalPodAutoscaler":
        _fill(spec, {"minReplicas": 1})
    if kind == "NetworkPolicy":
        for rule in [*spec.get("ingress", []), *spec.get("egress", [])]:
            for port in rule.get("ports", []):
                _fill(port, {"protocol": "TCP"})
        _fill(spec, {"policyTypes": ["Ingress", *(["Egress"] if "egress" in spec else [])]})
    if kind == "StorageClass":
        _fill(found, {"reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"})
    if kind == "PriorityClass":
        _fill(found, {"preemptionPolicy": "PreemptLowerPriority"})
    if kind == "Namespace":
        found["metadata"].setdefault("labels", {}).setdefault("kubernetes.io/metadata.name", found["metadata"]["name"])
        found.setdefault("spec", {}).setdefault("finalizers", ["kubernetes"])
        found.setdefault("status", {"phase": "Active"})
    if (pod := pod_spec(found)) is not None:
        _pod_defaults(pod)


def pod_spec(found: Document) -> Document | None:
    """The pod's specification in a workload or a pod."""
    spec = found.get("spec", {})
    if found["kind"] == "Pod":
        return spec
    if found["kind"] == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    if found["kind"] in ("Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob", "ReplicaSet"):
        template = spec["template"]
        template.setdefault("metadata", {})
        pod: Document = template["spec"]
        return pod
    return None


def _pod_defaults(pod: Document) -> None:
    _fill(pod, _POD)
    if "serviceAccountName" in pod:
        pod["serviceAccount"] = pod["serviceAccountName"]
    for container in [*pod.get("initContainers", []), *pod.get("containers", [])]:
        _fill(container, _CONTAINER)
        tag = container.get("image", "").rpartition("/")[2].partition("@")[0].partition(":")[2]
        _fill(container, {"imagePullPolicy": "Always" if tag in ("", "latest") else "IfNotPresent"})
        for port in container.get("ports", []):
            _fill(port, {"protocol": "TCP"})
        for name in ("startupProbe", "livenessProbe", "readinessProbe"):
            if name in container:
                _fill(container[name], _PROBE)
                if "httpGet" in container[name]:
                    _fill(container[name]["httpGet"], {"scheme": "HTTP"})
        for entry in container.get("env", []):
            if "value" in entry and entry["value"] == "":
                del entry["value"]
            if "fieldRef" in entry.get("valueFrom", {}):
                _fill(entry["valueFrom"]["fieldRef"], {"apiVersion": "v1"})
    for volume in pod.get("volumes", []):
        for name in ("configMap", "secret"):
            if name in volume:
                _fill(volume[name], {"defaultMode": 0o644})
