"""What nodes carry, reckoned with small numbers: what is tightest, what a step further costs, and what is said of it"""

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from k8s.programs import capacity as reckoning
from k8s.programs.capacity import Capacity, Limit, capacity
from k8s.programs.room import Load
from runtime.services import load_services

SERVICES = {folder: service for folder, service in load_services().items() if folder in ("auth", "waste", "ai")}
NODES = [
    {"name": f"node-{label}", "label": label, "instance": size}
    for label, size in (("auth", "small"), ("waste", "large"), ("ai", "large"), ("postgresql", "large"))
]
HOMES = {"api-auth": "auth", "api-waste": "waste", "worker-ai": "ai", "k8s-postgresql": "postgresql"}
ROOM = {"auth": (1.5, 9.0), "waste": (1.0, 9.0), "ai": (2.0, 9.0), "postgresql": (-0.5, 9.0)}
COSTS = """
[read]
api = 2.0
k8s-postgresql = 1.0
[photo]
worker-ai = 50.0
k8s-postgresql = 10.0
"""
TRAFFIC = """
[mix]
photo = 1.0
read = 20.0
[instances]
small = {sustained = 0.2, dollars = 10.0}
large = {sustained = 0.4, dollars = 30.5}
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "k8s").mkdir()
    write(tmp_path)
    monkeypatch.setattr(reckoning, "node_plan", lambda root: {"nodes": NODES})
    monkeypatch.setattr(reckoning, "empty", lambda plan, platform: ROOM if platform == "here" else {})
    every = [Load(name, label, 1.0, 1.0, 1, 1, True) for name, label in HOMES.items()]
    monkeypatch.setattr(reckoning, "loads", lambda services, root: every)
    return tmp_path


def write(root: Path, costs: str = COSTS, traffic: str = TRAFFIC) -> None:
    (root / "k8s/costs.toml").write_text(costs)
    (root / "k8s/traffic.toml").write_text(traffic)


def test_of_each_kind_of_work_the_tightest_part_is_first_by_what_its_node_sustains(root: Path) -> None:
    found = capacity(SERVICES, "here", root)
    # A read is the API's whose node has the least room, and a node that is more than full has nothing above what it sustains.
    assert found.limits == {
        "read": [
            Limit("api-waste", "node-waste", 200.0, 500.0),
            Limit("k8s-postgresql", "node-postgresql", 400.0, 0.0),
        ],
        "photo": [Limit("worker-ai", "node-ai", 8.0, 40.0), Limit("k8s-postgresql", "node-postgresql", 40.0, 0.0)],
    }
    whole = {one.part: one.sustained for one in found.mixed}
    assert whole == pytest.approx({"worker-ai": 8.0, "api-waste": 10.0, "k8s-postgresql": 400 / 30})
    assert list(whole) == ["worker-ai", "api-waste", "k8s-postgresql"]
    assert found.dollars == 10.0 + 3 * 30.5


def test_the_next_step_is_one_node_more_of_the_first_limit_or_what_can_not_be_two(root: Path) -> None:
    first = "worker-ai is the first limit; next: a second node of its label, $30.5 a month"
    assert capacity(SERVICES, "here", root).next_step == first
    write(root, COSTS.replace("k8s-postgresql = 10.0", "k8s-postgresql = 1000.0"))
    step = capacity(SERVICES, "here", root).next_step
    assert step == f"k8s-postgresql is the first limit; next: {reckoning.SINGLE['k8s-postgresql']}"
    write(root, COSTS + "[login]\napi-auth = 240.0\n", TRAFFIC.replace("photo = 1.0", "photo = 0.1\nlogin = 1.0"))
    step = capacity(SERVICES, "here", root).next_step
    assert step == "api-auth is the first limit; next: a second node of its label, $10 a month"


def test_a_day_is_that_of_the_tightest_part_and_the_price_that_of_all_nodes() -> None:
    two = [Limit("worker-ai", "node-ai", 8.0, 40.0), Limit("api-waste", "node-waste", 10.0, 500.0)]
    said = reckoning.text(Capacity({"photo": two[:1]}, two, 101.5, "the step")).splitlines()
    assert said[1:3] == ["photos", f"    {'worker-ai':20} {'node-ai':20} {8.0:8.1f} {40.0:8.1f}"]
    assert [line.split()[0] for line in said[4:6]] == ["worker-ai", "api-waste"]
    assert said[-3].startswith("about 691,200 photos a day")
    assert said[-2].startswith("$102 a month")
    assert said[-1] == "the step"


def test_what_a_file_names_that_is_not_there_is_said(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def asked(**more: Any) -> int:
        return reckoning.main(
            argparse.Namespace(platform="here", json=False) if not more else argparse.Namespace(**more)
        )

    monkeypatch.setattr(reckoning, "load_services", lambda: SERVICES)
    monkeypatch.setattr(reckoning.capacity, "__defaults__", ("here", root))
    assert asked() == 0
    assert "worker-ai is the first limit" in capsys.readouterr().out
    assert asked(platform="here", json=True) == 0
    assert json.loads(capsys.readouterr().out)["dollars"] == 101.5
    write(root, COSTS.replace("worker-ai", "worker-away"))
    assert asked() == 1
    assert capsys.readouterr().err == (
        "eco2 capacity: k8s/costs.toml or traffic.toml names 'worker-away', which no node or service has\n"
    )
    write(root, "no toml")
    assert asked() == 1
    assert capsys.readouterr().err.startswith("eco2 capacity: ")
