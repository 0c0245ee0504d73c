"""What applying an object would change, told from what the API server answers"""

import itertools
from collections.abc import Iterable
from typing import Any

import pytest

from k8s.programs.cluster import Cluster, ClusterError
from k8s.programs.objects import UNFINISHED, ObjectChange, compare, half_way, texts
from k8s.programs.templates import Document
from k8s.programs.wanted import READS


class Answers(Cluster):
    """A cluster that has some objects, would make of what is applied what it is told to, and refuses some by name."""

    def __init__(self, has: list[Document], would: list[Document] = [], refuses: Iterable[str] = ()) -> None:  # noqa: B006 - read alone
        super().__init__()
        self.has, self.makes, self.refuses = has, {named(one): one for one in would}, set(refuses)
        self.asked = 0

    def live(self, documents: Iterable[Document]) -> list[Document]:
        return self.has

    def would_be(self, documents: Iterable[Document]) -> list[Document]:
        self.asked += 1
        names = [named(one) for one in documents]
        for name in names:
            if name in self.refuses:
                raise ClusterError(f"kubectl apply: {name} is immutable: for ever")
        return [self.makes[name] for name in names]


def named(found: Document) -> str:
    name: str = found["metadata"]["name"]
    return name


def thing(name: str = "a", kind: str = "Thing", service: str = "", **more: Any) -> Document:
    metadata = {"name": name, "namespace": "eco2"} | ({"labels": {"eco2/service": service}} if service else {})
    return {"kind": kind, "metadata": metadata | more.pop("metadata", {}), **more}


def diff(was: Document, now: Document) -> list[str]:
    changes = compare(Answers([was], [now]), [was])
    return [line for change in changes for line in change.diff]


@pytest.mark.parametrize(
    ("was", "now", "lines"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 3, "c": 2}}, ["- spec.a.b: 1", "+ spec.a.b: 3"]),
        ({"a": 1}, {"b": 2}, ["- spec.a: 1", "+ spec.b: 2"]),
        ({"a": [1, 2]}, {"a": [1]}, ["- spec.a: [1, 2]", "+ spec.a: [1]"]),
        ({"a": {"b": 1}}, {"a": "b"}, ["- spec.a: {'b': 1}", "+ spec.a: b"]),
        ({"a": "x" * 200}, {}, [f"- spec.a: {'x' * 117}..."]),
        ({"a": "x" * 120}, {}, [f"- spec.a: {'x' * 120}"]),
        # The items of a list by what names them.
        (
            {"a": [{"name": "x", "v": 1}, {"name": "y", "v": 1}, {"name": "gone"}]},
            {"a": [{"name": "y", "v": 2}, {"name": "x", "v": 1}, {"name": "z"}]},
            ["- spec.a[y].v: 1", "+ spec.a[y].v: 2", "- spec.a[gone]: {'name': 'gone'}", "+ spec.a[z]: {'name': 'z'}"],
        ),
        ({"a": [{"port": 1, "v": 1}]}, {"a": [{"port": 1, "v": 2}]}, ["- spec.a[1].v: 1", "+ spec.a[1].v: 2"]),
        # Two of one name are told apart by another, or by nothing.
        (
            {"a": [{"name": "x", "key": "1", "v": 1}, {"name": "x", "key": "2"}]},
            {"a": [{"name": "x", "key": "1", "v": 2}, {"name": "x", "key": "2"}]},
            ["- spec.a[1].v: 1", "+ spec.a[1].v: 2"],
        ),
        (
            {"a": [{"name": "x"}, {"name": "x"}]},
            {"a": [{"name": "x"}]},
            ["- spec.a: [{'name': 'x'}, {'name': 'x'}]", "+ spec.a: [{'name': 'x'}]"],
        ),
        ({"a": [{"v": 1}]}, {"a": [{"name": "x"}]}, ["- spec.a: [{'v': 1}]", "+ spec.a: [{'name': 'x'}]"]),
        # Texts of several lines by their lines.
        (
            {"a": "one\ntwo\nthree\nfour\nfive"},
            {"a": "one\ntwo\nthree\n4\nfive"},
            ["  spec.a:", "    @@ -3,3 +3,3 @@", "     three", "    -four", "    +4", "     five"],
        ),
        ({"a": "one"}, {"a": "one\ntwo"}, ["  spec.a:", "    @@ -1 +1,2 @@", "     one", "    +two"]),
    ],
)
def test_each_leaf_that_differs_is_a_line(was: Document, now: Document, lines: list[str]) -> None:
    assert diff(thing(spec=was), thing(spec=now)) == lines


@pytest.mark.parametrize(
    ("was", "now"),
    [
        *(({"metadata": {field: 1}}, {"metadata": {field: 2}})
          for field in ("managedFields", "generation", "resourceVersion", "uid", "creationTimestamp")),
        ({"status": {"a": 1}}, {"status": {"a": 2}}),
        ({"metadata": {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": "x"}}}, {}),
        ({"metadata": {"annotations": None}}, {"metadata": {"annotations": {}}}),
    ],
)  # fmt: skip
def test_what_the_server_writes_itself_is_no_change(was: Document, now: Document) -> None:
    assert diff(thing(**was), thing(**now)) == []
    assert diff(thing(metadata={"annotations": {"mine": "1"}}), thing()) == ["- metadata.annotations.mine: 1"]


def pods(kind: str = "Deployment", reads: str = "", **more: Any) -> Document:
    marks = {"annotations": {READS: reads}} if reads else {}
    spec = {"template": {"metadata": {"labels": {"a": "b"}, **marks}}} | more.pop("spec", {})
    return thing(kind=kind, spec=spec, **more)


def test_what_pods_read_is_named_by_its_names_and_not_by_its_digests() -> None:
    was, now = pods(reads='{"A": "1", "B": "1", "C": "1"}'), pods(reads='{"B": "2", "C": "1", "D": "1"}')
    (found,) = compare(Answers([was], [now]), [was])
    assert (found.change, found.diff, found.reads) == ("changed", [], ["A", "B", "D"])
    assert compare(Answers([was], [was | {"status": {}}]), [was])[0].diff == [UNFINISHED]


ENDED = {"observedGeneration": 2, "conditions": [{"type": "Progressing", "reason": "NewReplicaSetAvailable"}]}


@pytest.mark.parametrize(
    ("kind", "status", "replicas", "unfinished"),
    [
        ("Deployment", ENDED, 2, False),
        ("Deployment", ENDED | {"observedGeneration": 1}, 2, True),
        ("Deployment", ENDED | {"conditions": [{"type": "Progressing", "reason": "ReplicaSetUpdated"}]}, 2, True),
        ("Deployment", ENDED | {"conditions": [{"type": "Available", "reason": "NewReplicaSetAvailable"}]}, 2, True),
        ("Deployment", {}, 2, True),
        ("Deployment", {}, 0, False),  # of none nothing is awaited
        ("Deployment", {}, None, True),
        ("StatefulSet", {"observedGeneration": 2, "currentRevision": "a", "updateRevision": "a"}, 2, False),
        ("StatefulSet", {"observedGeneration": 2, "currentRevision": "a", "updateRevision": "b"}, 2, True),
        ("StatefulSet", {"observedGeneration": 1, "currentRevision": "a", "updateRevision": "a"}, 2, True),
        ("DaemonSet", {}, 2, False),
    ],
)
def test_a_rollout_that_never_came_to_its_end_is_half_way(
    kind: str, status: Document, replicas: int | None, unfinished: bool
) -> None:
    spec = {} if replicas is None else {"replicas": replicas}
    found = pods(kind, spec=spec, status=status, metadata={"generation": 2})
    assert half_way(found) is unfinished
    assert diff(found, found) == ([UNFINISHED] if unfinished else [])
    more = found | {"spec": found["spec"] | {"x": 1}}
    assert diff(found, more) == ["+ spec.x: 1"], "what would change is told by itself"


@pytest.mark.parametrize("refused", [s for n in range(4) for s in itertools.combinations("abc", n)])
def test_one_that_can_not_be_changed_is_told_alone_and_the_others_as_if_it_were_not_there(
    refused: tuple[str, ...],
) -> None:
    was = [thing(name, service=f"api-{name}", spec={"x": 1}) for name in "abc"]
    now = [one | {"spec": {"x": 2}} for one in was]
    cluster = Answers(was, now, refused)
    found = compare(cluster, [thing("new", service="api-new"), *was])
    assert found == [
        ObjectChange("Thing", "eco2", "new", "new", service="api-new"),
        *(
            ObjectChange("Thing", "eco2", name, "refused", [f"! {name} is immutable: for ever"], f"api-{name}")
            if name in refused
            else ObjectChange("Thing", "eco2", name, "changed", ["- spec.x: 1", "+ spec.x: 2"], f"api-{name}")
            for name in "abc"
        ),
    ]
    assert cluster.asked == 1 or refused


def test_of_what_is_new_alone_the_server_is_not_asked() -> None:
    cluster = Answers([])
    found = compare(cluster, [thing(), {"kind": "Namespace", "metadata": {"name": "eco2"}}])
    assert ([one.id for one in found], cluster.asked) == (["Thing eco2/a", "Namespace eco2"], 0)


def test_a_person_reads_each_object_with_its_lines_and_what_its_pods_read() -> None:
    changed = ObjectChange("Thing", "eco2", "a", "changed", ["+ spec.x: 1"], reads=["A", "B"])
    assert texts([changed, ObjectChange("Thing", "", "b", "new")]) == [
        f"{'Thing eco2/a':52} changed",
        "    + spec.x: 1",
        "    its pods read: A, B",
        f"{'Thing b':52} new",
    ]
