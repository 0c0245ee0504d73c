"""What runs, as the cluster's objects and what a deploy left behind tell it"""

import base64
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from k8s.programs import running
from k8s.programs.cluster import Cluster
from k8s.programs.images import TOOLS, Record
from k8s.programs.running import NotARecord, ask_cluster, ask_secrets, read_running, recall, remember
from k8s.programs.templates import Document


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ECO2_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


class Has(Cluster):
    """A cluster with some objects, by what is selected in which namespace."""

    def __init__(self, **objects: list[Document]) -> None:
        super().__init__()
        self.objects = objects

    def select(self, kinds: str, space: str, selector: str = "") -> list[Document]:
        assert selector in {"configmaps": "eco2/record", "secrets": ""}.get(kinds, "eco2/service")
        return self.objects.get(f"{kinds.partition(',')[0]}_{space}", [])


def record(name: str, made: Record) -> Document:
    metadata = {"labels": {"eco2/record": name}}
    return {"metadata": metadata, "data": {"record.json": msgspec.json.encode(made).decode()}}


def runs(service: str, image: str, name: str = "") -> Document:
    spec = {"template": {"spec": {"containers": [{"image": image}, {"image": "beside:1"}]}}}
    return {"metadata": {"name": name or service, "labels": {"eco2/service": service}}, "spec": spec}


def test_what_runs_is_told_by_its_record_where_that_is_of_the_same_tag() -> None:
    whole = Record("b", {"login": "1"}, {"a": "1"}, manifest="m")
    remember([Record("c", {"login": "2"}, manifest="x")])
    found = ask_cluster(
        Has(
            configmaps_eco2=[
                record("api-auth", whole),
                record("api-waste", whole),
                record(TOOLS, whole),
                record("gone", whole),
            ],
            deployments_eco2=[
                runs("api-auth", "far.example:5000/eco2/api-auth:b"),
                runs("api-auth", "far.example:5000/eco2/api-auth:old", "api-auth-alone"),
                runs("api-waste", "near/api-waste:c"),
                runs("api-new", "near/api-new:d"),
            ],
        )
    )
    change = msgspec.structs.replace
    assert found == {
        TOOLS: whole,
        "api-auth": change(whole, registry="far.example:5000/eco2"),
        # It was told to run another tag, and no deploy has come to its end with it.
        "api-waste": Record("c", {"login": "2"}, finished=False, before="b", registry="near"),
        "api-new": Record("d", finished=False, registry="near"),
    }


def test_secrets_are_read_in_each_of_our_namespaces() -> None:
    def secret(name: str, **values: str) -> Document:
        data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
        return {"metadata": {"name": name}, "data": data or None}

    cluster = Has(
        secrets_eco2=[secret("a", x="가")],
        secrets_database=[secret("a", x="2"), secret("none")],
        secrets_monitoring=[secret("g", x="3")],
    )
    assert ask_secrets(cluster) == {
        ("eco2", "a"): {"x": "가"},
        ("database", "a"): {"x": "2"},
        ("database", "none"): {},
        ("monitoring", "g"): {"x": "3"},
    }


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"api-auth": "t"}, {"api-auth": Record("t")}),
        ({"api-auth": {"tag": "t", "manifest": "m"}}, {"api-auth": Record("t", manifest="m")}),
        ({"api-auth": None, "api-waste": ""}, {}),
        ({"services": [{"service": "a", "tag": "t"}], "tools": None}, {"a": Record("t")}),
        (
            {
                "services": [{"service": "a", "tag": "t", "record": {"tag": "r"}}],
                "tools": {"service": TOOLS, "tag": "x"},
            },
            {"a": Record("r"), TOOLS: Record("x")},
        ),
    ],
)
def test_a_file_tells_tags_records_or_an_earlier_plan(tmp_path: Path, given: Any, found: dict[str, Record]) -> None:
    (tmp_path / "running.json").write_bytes(msgspec.json.encode(given))
    assert read_running(tmp_path / "running.json") == found
    with pytest.raises(NotARecord, match=r"nowhere: No such file or directory$"):
        read_running(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "no json",
            "[]",
            "1",
            '"text"',
            "null",
            '{"api-auth": 1}',
            '{"api-auth": {"x": 1}}',
            '{"api-auth": {"tag": 1}}',
        ),
        *(
            '{"services": [1]}',
            '{"services": [{}]}',
            '{"services": [{"service": "a"}]}',
            '{"services": [], "tools": {"x": 1}}',
        ),
    ],
)
def test_a_file_that_tells_none_of_these_is_refused_with_what_it_should_hold(tmp_path: Path, text: str) -> None:
    (tmp_path / "running.json").write_text(text)
    with pytest.raises(
        NotARecord, match=r'running.json should hold \{"api-auth": "<tag>", \.\.\.\} or the output of eco2 plan'
    ):
        read_running(tmp_path / "running.json")


def test_the_newest_records_are_kept_by_their_tags_without_their_manifests(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "_REMEMBERED", 2)
    first = Record("z", {"login": "1"}, manifest="m")  # the oldest, and not the first by its name
    remember([first])
    assert recall("z") == Record("z", {"login": "1"})
    (state / "outside.json").write_bytes((state / "plans/z.json").read_bytes())
    assert recall("../outside") == Record("../outside"), "a tag leads nowhere else"
    assert recall("unknown") == Record("unknown")
    remember([Record("z", {"login": "2"})])
    assert recall("z") == Record("z", {"login": "1"}), "a tag is of one content"
    os.utime(state / "plans/z.json", (1, 1))
    remember([Record("a")])
    os.utime(state / "plans/a.json", (2, 2))
    assert sorted(path.stem for path in (state / "plans").iterdir()) == ["a", "z"]
    remember([Record("c")])
    assert sorted(path.stem for path in (state / "plans").iterdir()) == ["a", "c"]
