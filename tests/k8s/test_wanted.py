"""What each pod reads, and what it can't start without"""

import json
from typing import Any

import pytest

from k8s.programs.templates import Document
from k8s.programs.wanted import READS, TOLD_OTHERWISE, missing_secrets, put_reads

SECRETS = {
    ("eco2", "api"): {"URL": "u", "KEY": "k"},
    ("other", "api"): {"URL": "elsewhere"},
    ("eco2", "jwks"): {"a": "b"},
}
MAP: Document = {"kind": "ConfigMap", "metadata": {"name": "settings", "namespace": "eco2"}, "data": {"LEVEL": "info"}}


def variable(name: str, source: str, of: str, key: str, **more: Any) -> Document:
    return {"name": name, "valueFrom": {source: {"name": of, "key": key, **more}}}


def workload(
    *env: Document,
    kind: str = "Deployment",
    space: str = "eco2",
    volumes: list[Document] | None = None,
    **more: Any,
) -> Document:
    pod = {"containers": [{"name": "host", "env": list(env)}], "volumes": volumes or [], **more}
    template = {"metadata": {}, "spec": pod}
    spec = {"jobTemplate": {"spec": {"template": template}}} if kind == "CronJob" else {"template": template}
    return {"kind": kind, "metadata": {"name": "web", "namespace": space}, "spec": spec}


def reads(found: Document, settings: Document = MAP, secrets: Any = SECRETS) -> dict[str, str]:
    put_reads([settings, found], secrets)
    text = found["spec"]["template"]["metadata"].get("annotations", {}).get(READS)
    return {} if text is None else json.loads(text)


URL, LEVEL = variable("URL", "secretKeyRef", "api", "URL"), variable("LEVEL", "configMapKeyRef", "settings", "LEVEL")


def test_a_pod_s_template_names_what_it_reads_with_a_digest_of_each_value() -> None:
    volumes = [{"secret": {"secretName": "api"}}, {"configMap": {"name": "settings"}}, {"emptyDir": {}}]
    first = [{"name": "first", "env": [variable("KEY", "secretKeyRef", "api", "KEY")]}]
    made = workload(URL, LEVEL, {"name": "PLAIN", "value": "1"}, volumes=volumes, initContainers=first)
    found = reads(made)
    assert sorted(found) == ["KEY", "LEVEL", "URL", "api", "settings"]
    assert {len(digest) for digest in found.values()} == {8}
    assert reads(workload(URL, LEVEL)) == {name: found[name] for name in ("LEVEL", "URL")}
    one, other = workload(URL, LEVEL), workload(LEVEL, URL)
    put_reads([MAP, one, other], SECRETS)
    marks = [each["spec"]["template"]["metadata"]["annotations"] for each in (one, other)]
    assert marks[0] == marks[1], "in another order it is the same"


@pytest.mark.parametrize(
    ("settings", "secrets", "changed"),
    [
        (MAP, SECRETS, []),
        (MAP | {"data": {"LEVEL": "debug"}}, SECRETS, ["LEVEL"]),
        (MAP | {"data": {"LEVEL": "info", "MORE": "x"}}, SECRETS, []),  # which it does not read
        (MAP, SECRETS | {("eco2", "api"): {"URL": "new", "KEY": "k"}}, ["URL", "api"]),
        (MAP, SECRETS | {("eco2", "api"): {"URL": "u", "KEY": "new"}}, ["api"]),
        (MAP, SECRETS | {("other", "api"): {"URL": "new"}}, []),
        (MAP, SECRETS | {("eco2", "api"): {"KEY": "k", "URL": "u"}}, []),  # in another order
    ],
)
def test_only_a_value_that_it_reads_changes_its_template(settings: Document, secrets: Any, changed: list[str]) -> None:
    def made() -> Document:
        return workload(URL, LEVEL, volumes=[{"secret": {"secretName": "api"}}])

    was, now = reads(made()), reads(made(), settings, secrets)
    assert [name for name in sorted(was) if was[name] != now[name]] == changed


# What their readers read again while they run, or only when a volume is first made.
@pytest.mark.parametrize("name", ["jwks", "auth-signing-key", "broker-redis", "cache-redis", "postgres-superuser"])
def test_what_is_told_otherwise_needs_no_new_pod(name: str) -> None:
    space = "database" if name == "postgres-superuser" else "eco2"
    assert len(TOLD_OTHERWISE) == 5
    env, volume = variable("A", "secretKeyRef", name, "a"), {"secret": {"secretName": name}}
    assert reads(workload(env, space=space, volumes=[volume]), secrets={(space, name): {"a": "b"}}) == {}


@pytest.mark.parametrize("kind", ["Job", "CronJob"])
def test_what_reads_anew_each_time_is_left_as_it_is(kind: str) -> None:
    made = workload(URL, kind=kind)
    put_reads([MAP, made, {"kind": "Service", "metadata": {"name": "web"}}], SECRETS)
    assert made == workload(URL, kind=kind)


def test_what_is_not_there_or_of_another_namespace_is_not_read() -> None:
    assert (
        reads(workload(variable("A", "secretKeyRef", "none", "A"), variable("B", "secretKeyRef", "api", "NONE"))) == {}
    )
    assert reads(workload(LEVEL), settings=MAP | {"data": None}) == {}
    other = reads(workload(URL, space="other"))
    assert other.keys() == {"URL"}
    assert other != reads(workload(URL))


@pytest.mark.parametrize(
    ("env", "volumes", "lacking"),
    [
        ([URL], [{"secret": {"secretName": "api"}}], []),
        ([variable("A", "secretKeyRef", "none", "A")], [], ["eco2/none"]),
        ([variable("A", "secretKeyRef", "api", "NONE")], [], ["eco2/api"]),
        ([variable("A", "secretKeyRef", "none", "A", optional=True)], [], []),
        ([LEVEL, {"name": "PLAIN", "value": "1"}], [{"emptyDir": {}}], []),
        ([], [{"secret": {"secretName": "none"}}], ["eco2/none"]),
        ([], [{"secret": {"secretName": "none", "optional": True}}], []),
        ([variable("A", "secretKeyRef", "b", "A")], [{"secret": {"secretName": "a"}}], ["eco2/a", "eco2/b"]),
    ],
)
def test_a_secret_that_a_pod_can_not_start_without_is_missed(
    env: list[Document], volumes: list[Document], lacking: list[str]
) -> None:
    assert missing_secrets([MAP, workload(*env, volumes=volumes), workload(*env, volumes=volumes)], SECRETS) == lacking
