"""Single values in the manifests and the stores' files on which something rests: what breaks when one of them is another is said
beside each. What the code or a service.toml says too is compared in test_manifests.py; all other numbers of what is written by
hand, and each yes and no, are in values.toml.
"""

import re
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from k8s.programs.manifests import containers, pod_of
from k8s.programs.quantities import mebibytes
from k8s.programs.templates import Document, read
from runtime.http import patience
from runtime.services import ROOT, load_services, seconds


def of_kind(overlay: list[Document], *kinds: str) -> Iterator[tuple[str, Document]]:
    for found in overlay:
        if found["kind"] in kinds:
            yield found["metadata"]["name"], found


def pods(overlay: list[Document]) -> dict[str, Document]:
    return {found["metadata"]["name"]: pod for found in overlay if (pod := pod_of(found)) is not None}


def test_no_volume_with_data_goes_with_what_used_it(overlay: list[Document]) -> None:
    for name, found in of_kind(overlay, "StatefulSet"):
        kept = found["spec"]["persistentVolumeClaimRetentionPolicy"]
        assert kept == {"whenDeleted": "Retain", "whenScaled": "Retain"}, name
    for name, found in of_kind(overlay, "StorageClass"):
        assert found["reclaimPolicy"] == "Retain", name
        assert found["parameters"]["encrypted"] == "true", f"{name}: people's content would lie there in the clear"
        assert found["volumeBindingMode"] == "WaitForFirstConsumer", f"{name}: its pod may be in another zone"
        assert found["allowVolumeExpansion"] is True, f"{name}: a full disk could not be made larger"


def test_pods_of_an_api_are_replaced_one_after_the_other_and_the_only_one_by_one_that_is_ready(
    overlay: list[Document],
) -> None:
    apis = {service.name for service in load_services().values() if service.prefix}
    seen = {name: found["spec"] for name, found in of_kind(overlay, "Deployment") if name in apis}
    assert seen.keys() == apis
    least = {name: found["spec"]["minReplicas"] for name, found in of_kind(overlay, "HorizontalPodAutoscaler")}
    for name, spec in seen.items():
        alone = least[name] == 1
        rolling = {"maxSurge": int(alone), "maxUnavailable": int(not alone)}
        assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": rolling}, name
        assert "replicas" not in spec, f"{name}: a deploy would take back what the autoscaler added"
        assert spec["revisionHistoryLimit"] >= 2, f"{name}: there would be nothing to go back to"


def test_a_pod_is_asked_whether_it_lives_and_whether_it_is_ready_and_these_are_two_questions(
    overlay: list[Document],
) -> None:
    for service in load_services().values():
        for container in containers(pods(overlay)[service.name]):
            where = f"{service.name} {container['name']}"
            asked = {
                name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness", "readiness")
            }
            # Asked by /readyz, a service would be killed because its database is away.
            assert asked == {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"}, where
            ports = {port["name"]: port["containerPort"] for port in container["ports"]}
            variables = {entry["name"]: entry.get("value") for entry in container["env"]}
            (port,) = ports.values()
            assert variables.get("HEALTH_PORT", "8000") == str(port), where
            assert {container[f"{name}Probe"]["httpGet"]["port"] for name in ("startup", "liveness")} == set(ports)


def test_who_ends_is_known_to_the_load_balancer_first_and_has_its_time_afterwards(overlay: list[Document]) -> None:
    for service in load_services().values():
        pod = pods(overlay)[service.name]
        if not service.prefix:
            continue
        (host,) = pod["containers"]
        word, pause = host["lifecycle"]["preStop"]["exec"]["command"]
        assert word == "sleep"
        assert 5 <= int(pause) <= 15
        assert pod["terminationGracePeriodSeconds"] >= int(pause) + seconds(service.run.grace), service.name
    (front,) = (found for _, found in of_kind(overlay, "Ingress"))
    attributes = front["metadata"]["annotations"]["alb.ingress.kubernetes.io/load-balancer-attributes"]
    idle = re.search(r"idle_timeout\.timeout_seconds=(\d+)", attributes)
    assert idle is not None
    assert int(idle[1]) < patience.IDLE, "it would send a request into a connection that is just being closed"


def test_a_backup_is_made_once_a_night_and_ends_before_the_next(overlay: list[Document]) -> None:
    jobs = dict(of_kind(overlay, "CronJob"))
    assert jobs.keys() == {"backup"}
    spec = jobs["backup"]["spec"]
    assert spec["concurrencyPolicy"] == "Forbid"
    assert (spec["schedule"], spec["timeZone"]) == ("30 18 * * *", "Etc/UTC"), "half past three at night in Seoul"
    assert not spec.get("suspend", False)
    assert spec["startingDeadlineSeconds"] >= 600, "one that was missed for a moment would be left out"
    job = spec["jobTemplate"]["spec"]
    assert 600 <= job["activeDeadlineSeconds"] < 86_400
    assert job["backoffLimit"] >= 1
    assert job["template"]["spec"]["restartPolicy"] == "Never"


def test_who_gives_way_when_a_node_is_too_full(overlay: list[Document]) -> None:
    values = {name: found["value"] for name, found in of_kind(overlay, "PriorityClass")}
    assert sorted(values, key=values.__getitem__) == ["eco2-monitoring", "eco2-worker", "eco2-api", "eco2-store"]
    given = {name: pod["priorityClassName"] for name, pod in pods(overlay).items()}
    for service in load_services().values():
        assert given[service.name] == ("eco2-api" if service.prefix else "eco2-worker"), service.name
    assert {given[name] for name in given if name in ("k8s-postgresql", "broker", "cache")} == {"eco2-store"}


def test_an_image_runs_as_the_user_that_its_pod_names(overlay: list[Document]) -> None:
    users = re.findall(r"^USER (\S+)$", (ROOT / "k8s/Containerfile").read_text(), re.MULTILINE)
    assert len(users) == 1, "without one it is root's"
    for service in load_services().values():
        rights = pods(overlay)[service.name]["securityContext"]
        assert f"{rights['runAsUser']}:{rights['runAsGroup']}" == users[0], service.name
        assert rights["fsGroup"] == rights["runAsGroup"], f"{service.name} could not write its volume"


def directives(file: str) -> dict[str, str]:
    """A store's configuration, the lines without comments; a name that is there twice is a mistake."""
    found: dict[str, str] = {}
    for line in (ROOT / "k8s/base" / file).read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, value = re.split(r"\s*=\s*|\s+", line, maxsplit=1)
            assert name not in found, f"{file}: {name} is there twice"
            found[name] = value.strip("'\"")
    return found


BROKER = {"appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction", "timeout": "0"}
CACHE = {"appendonly": "no", "save": "", "maxmemory-policy": "allkeys-lru"}


@pytest.mark.parametrize(("name", "wanted"), [("broker", BROKER), ("cache", CACHE)])
def test_the_broker_throws_nothing_away_and_the_cache_writes_nothing_down(
    overlay: list[Document], name: str, wanted: dict[str, str]
) -> None:
    found = directives(f"redis/{name}.conf")
    assert wanted.items() <= found.items()
    assert found["include"] == "/keys/redis/auth.conf", "without it everyone may do everything"
    memory = mebibytes(pods(overlay)[name]["containers"][0]["resources"]["limits"]["memory"])
    most = int(found["maxmemory"].removesuffix("mb"))
    # A rewrite of the broker's file forks, and may need all of it once more.
    assert most * (2 if name == "broker" else 1) <= memory


def test_postgresql_flushes_what_it_says_is_committed_and_takes_no_one_without_a_password() -> None:
    found = directives("postgres/postgresql.conf")
    assert not {"fsync", "full_page_writes", "synchronous_commit", "ignore_checksum_failure"} & found.keys()
    assert found["password_encryption"] == "scram-sha-256"
    assert found["timezone"] == found["log_timezone"] == "UTC"
    assert found["hba_file"] == "/etc/postgresql/pg_hba.conf"
    rules = [
        line.split()
        for line in (ROOT / "k8s/base/postgres/pg_hba.conf").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    assert {rule[-1] for rule in rules} == {"scram-sha-256"}
    reached = {(rule[1], rule[2]) for rule in rules if rule[0] != "local"}
    assert reached == {("ecoeco", "all"), ("all", "postgres")}


# All others

WRITTEN = tomllib.loads((Path(__file__).parent / "values.toml").read_text(encoding="utf-8"))
_QUANTITY = re.compile(r"\d+(\.\d+)?[A-Za-z%]*")
# Words in which numbers are: an alarm's condition, a program's options, when something is run.
_TOLD = {"expr", "args", "command", "schedule"}
# Words that decide: who is told, what is scraped.
_WORDS = {"severity", "receiver", "action"}


def by_hand() -> dict[str, Path]:
    """The files of k8s/base that no program writes, by their names."""
    base = ROOT / "k8s/base"
    found = {path.relative_to(base).as_posix(): path for path in base.rglob("*.*") if path.parent.name != "services"}
    return {name: path for name, path in found.items() if path.suffix in (".yaml", ".yml", ".conf")}


def numbers(file: Path) -> dict[str, list[Any]]:
    """By key, in the file's order."""
    found: dict[str, list[Any]] = defaultdict(list)
    if file.suffix == ".conf":
        for line in file.read_text(encoding="utf-8").splitlines():
            name, *rest = re.split(r"[\s=]+", line)
            if line and name != "#":
                found[name].append(" ".join(rest))
    else:
        for document in read(file.read_text(encoding="utf-8")):
            for key, value in scalars("", document):
                if key in _TOLD:
                    found[key] += re.findall(r"(?<![\w.])\d[\w.]*", str(value))
                elif key in _WORDS or isinstance(value, bool | int | float) or _QUANTITY.fullmatch(str(value)):
                    found[key].append(value)
    return {key: values for key, values in found.items() if values}


def scalars(key: str, node: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict):
        for name, below in node.items():
            yield from scalars(name, below)
    elif isinstance(node, list):
        for below in node:
            yield from scalars(key, below)
    else:
        yield key, node


@pytest.mark.parametrize("name", sorted(by_hand()))
def test_what_a_manifest_says_in_numbers_and_in_yes_and_no_is_written_down(name: str) -> None:
    assert numbers(by_hand()[name]) == WRITTEN.get(name, {})


def test_what_is_written_down_is_of_files_that_are_there() -> None:
    assert WRITTEN.keys() <= by_hand().keys()
