"""What kubectl is told word by word, what of its failures is tried again, and how little of them a person has to read"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from k8s.programs import cluster as module
from k8s.programs.cluster import Cluster, ClusterError, _items, _reason
from k8s.programs.templates import Document

ONE: Document = {"kind": "Thing", "metadata": {"name": "a"}}
OTHER: Document = {"kind": "Thing", "metadata": {"name": "b"}}
BOTH = f"{json.dumps(ONE)}\n{json.dumps(OTHER)}"
OWNS = "--server-side --force-conflicts --field-manager=eco2"
PIPED = "--output json --filename -"


class Told(Cluster):
    """Notes what kubectl would be told, with what it would read, and answers with an object."""

    def __init__(self, answer: str = "") -> None:
        super().__init__()
        self.told: list[tuple[str, str | None]] = []
        self.answer = answer

    def run(self, *words: str, text: str | None = None) -> str:
        self.told.append((" ".join(words), text))
        return self.answer


Does = Callable[[Cluster], object]
READS: list[tuple[Does, str, str | None]] = [
    (lambda c: c.get("pod", "a", "eco2"), "get pod a --namespace eco2 --ignore-not-found --output json", None),
    (lambda c: c.select("pods", "eco2"), "get pods --namespace eco2 --output json", None),
    (lambda c: c.select("pods", "eco2", "x=1"), "get pods --namespace eco2 --selector x=1 --output json", None),
    (lambda c: c.live([ONE, OTHER]), f"get --ignore-not-found {PIPED}", BOTH),
    (lambda c: c.would_be([ONE, OTHER]), f"apply {OWNS} --dry-run=server {PIPED}", BOTH),
]
# A lock is taken and renewed by these, so they ask no lock.
LOCKS: list[tuple[Does, str, str | None]] = [
    (lambda c: c.create(ONE), f"create {PIPED}", json.dumps(ONE)),
    (lambda c: c.replace(ONE), f"replace {PIPED}", json.dumps(ONE)),
]
CHANGES: list[tuple[Does, str, str | None]] = [
    (lambda c: c.apply([ONE, OTHER]), f"apply {OWNS} --filename -", BOTH),
    (
        lambda c: c.patch("pod", "a", "eco2", {"x": 1}),
        'patch pod a --namespace eco2 --type=merge --patch {"x": 1} --field-manager=eco2',
        None,
    ),
    (lambda c: c.delete("pod", "a", "eco2"), "delete pod/a --ignore-not-found --namespace eco2 --wait=true", None),
    (
        lambda c: c.delete("pod", "a", "eco2", wait=False),
        "delete pod/a --ignore-not-found --namespace eco2 --wait=false",
        None,
    ),
    (lambda c: c.undo("deployment", "a", "eco2"), "rollout undo deployment/a --namespace eco2", None),
]


@pytest.mark.parametrize(("does", "words", "text"), [*READS, *LOCKS, *CHANGES])
def test_kubectl_is_told_the_object_s_own_namespace_and_whose_fields_these_are(
    does: Does, words: str, text: str | None
) -> None:
    told = Told(json.dumps(ONE))
    does(told)
    assert told.told == [(words, text)]


def test_who_has_lost_the_lock_changes_nothing_and_may_still_look() -> None:
    told = Told(json.dumps(ONE))

    def refuse() -> None:
        raise InterruptedError

    told.may_change = refuse
    for does, *_ in CHANGES:
        with pytest.raises(InterruptedError):
            does(told)
    assert told.told == []
    for does, *_ in READS:
        does(told)
    assert len(told.told) == len(READS)


def test_what_is_not_there_is_none_and_what_is_there_is_itself() -> None:
    assert Told(" \n").get("pod", "a", "eco2") is None
    assert Told(json.dumps(ONE)).get("pod", "a", "eco2") == ONE
    assert Told(json.dumps(ONE)).create(OTHER) == Told(json.dumps(ONE)).replace(OTHER) == ONE


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        (" \n", []),
        (json.dumps(ONE), [ONE]),
        (json.dumps({"kind": "List", "items": [ONE, OTHER]}), [ONE, OTHER]),
        (json.dumps({"kind": "List", "items": []}), []),
        (json.dumps({"items": [ONE]}), [ONE]),
    ],
)
def test_one_object_a_list_or_nothing_are_all_a_list(text: str, found: list[Document]) -> None:
    assert _items(text) == found


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("", "it said nothing"),
        ("\n advice\n  last \n", "last"),
        ("warning\nerror: broken\nsee the manual", "error: broken"),
        ("x\nError from server: a\nError: b", "Error from server: a"),
        ("x\nThe Pod is invalid\ny", "The Pod is invalid"),
        ("x\nUnable to connect\ny", "Unable to connect"),
        ("x\nApply failed with 1 conflict\ny", "Apply failed with 1 conflict"),
        ('The x: Invalid value: {"a":{"b":1}}: is immutable', "The x: is immutable"),
        (f"error {'x' * 600}", f"error {'x' * 494}"),
    ],
)
def test_of_what_kubectl_says_the_reason_is_told(said: str, reason: str) -> None:
    assert _reason(said) == reason


@pytest.fixture
def kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a program there in its place; it notes each call."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "PAUSES", (0.0, 0.0))

    def put(script: str) -> None:
        (tmp_path / "kubectl").write_text(f'#!/bin/sh\necho "$*" >> calls\n{script}\n')
        (tmp_path / "kubectl").chmod(0o755)

    return put


def calls() -> list[str]:
    return Path("calls").read_text().splitlines()


def test_what_passes_is_tried_again_and_what_does_not_is_told_at_once(kubectl: Callable[[str], None]) -> None:
    kubectl("[ $(wc -l < calls) = 3 ] || { echo connection refused >&2; exit 1; }; cat")
    assert Cluster("there").run("get", "pods", text="read anew") == "read anew"
    assert calls() == ["--context there get pods"] * 3
    Path("calls").unlink()
    kubectl("echo i/o timeout; exit 1")
    with pytest.raises(ClusterError, match=r"^kubectl get pods --all: i/o timeout$"):
        Cluster().run("get", "pods", "--all", "--more")
    assert calls() == ["get pods --all --more"] * 3
    Path("calls").unlink()
    kubectl("echo i/o timeout; echo 'error: Conflict' >&2; exit 1")
    with pytest.raises(ClusterError, match=r"^kubectl get: error: Conflict$"):
        Cluster().run("get")
    assert calls() == ["get"]


@pytest.mark.parametrize(
    ("said", "passes"),
    [
        ("The connection to the server 10.0.0.1:6443 was refused - did you specify the right host or port?", True),
        ("dial tcp 10.0.0.1:6443: connect: connection refused", True),
        ("read tcp: connection reset by peer", True),
        ("error: http2: client connection lost", True),
        ("dial tcp 10.0.0.1:6443: i/o timeout", True),
        ("net/http: TLS handshake timeout", True),
        ('Get "https://10.0.0.1:6443/api": EOF', True),
        ("Error from server: etcdserver: request timed out", True),
        ("the server is currently unable to handle the request", True),
        ("Error from server (TooManyRequests): slow down", True),
        ("Error from server: 429 Too Many Requests", True),
        ("Error from server (InternalError): an error on the server", True),
        ("Timeout: request did not complete within requested timeout", True),
        ("Error from server (Conflict): the object has been modified", False),
        ("Error from server (NotFound): pods not found", False),
        ("Error from server (Forbidden): pods is forbidden", False),
        ("error: You must be logged in to the server (Unauthorized)", False),
        ("error: unknown flag --GEOFENCE", False),
    ],
)
def test_what_passes_is_known_by_its_words(said: str, passes: bool) -> None:
    assert bool(module.TRANSIENT.search(said)) == passes


def test_a_machine_without_kubectl_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ClusterError, match=r"^kubectl is not installed$"):
        Cluster().run("get")


def test_a_port_that_leads_to_a_pod_is_there_for_the_block_and_no_longer(kubectl: Callable[[str], None]) -> None:
    kubectl(
        "trap 'echo ended >> calls; exit' TERM; echo Forwarding from 127.0.0.1:40123 '->' 5432; while :; do sleep 0.01; done"
    )
    with Cluster("there").forward("db-0", "database", 5432) as port:
        assert port == 40123
    told = "--context there port-forward --namespace database pod/db-0 :5432 --address 127.0.0.1"
    assert calls() == [told, "ended"]
    with pytest.raises(ZeroDivisionError), Cluster("there").forward("db-0", "database", 5432):
        raise ZeroDivisionError
    assert calls() == [told, "ended"] * 2
    kubectl("echo 'error: unable to forward: pod not found' >&2; exit 1")
    with (
        pytest.raises(ClusterError, match=r"^kubectl port-forward pod/db-0: error: unable to forward: pod not found$"),
        Cluster().forward("db-0", "database", 5432),
    ):
        pass
