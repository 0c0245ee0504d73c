"""Whether all fits its nodes, reckoned with small numbers"""

from pathlib import Path
from typing import Any

import pytest

from k8s.programs import room
from k8s.programs.room import Load, RoomError, check_connections, check_nodes, connections, left
from runtime.services import load_services

PLAN = {
    "platforms": {
        "here": {
            "instances": {"small": {"cpu": "2", "memory": "1Gi"}},
            "daemonsets": [
                {"name": "net", "cpu": "250m", "memory": "24Mi"},
                {"name": "disk", "cpu": "0m", "memory": "100Mi", "nodes": ["a"]},
            ],
            "others": [{"name": "dns", "cpu": "500m", "memory": "0Mi", "nodes": ["control-plane"]}],
        }
    },
    "nodes": [{"instance": "small", "label": label} for label in ("control-plane", "a", "b")],
    "shipper": {"cpu": "50m", "memory": "200Mi"},
}


def load(label: str = "a", cpu: float = 1.0, memory: float = 100.0, usual: int = 1, most: int = 2, **more: Any) -> Load:
    return Load(more.pop("name", f"on-{label}"), label, cpu, memory, usual, most, more.pop("moves", True))


def test_of_a_node_what_others_run_there_is_taken_and_no_more() -> None:
    assert room.empty(PLAN, "here") == {
        "control-plane": (1.25, 1000.0),  # which ships no logs
        "a": (1.7, 700.0),
        "b": (1.7, 800.0),
    }


def test_what_is_left_is_reckoned_by_the_usual_number_or_the_most() -> None:
    there = {"a": (4.0, 400.0), "b": (4.0, 400.0)}
    every = [load("a"), load("a", cpu=0.5, usual=0, most=1)]
    assert left(there, every, at_most=False) == {"a": (3.0, 300.0), "b": (4.0, 400.0)}
    assert left(there, every, at_most=True) == {"a": (1.5, 100.0), "b": (4.0, 400.0)}
    assert there["a"] == (4.0, 400.0)
    with pytest.raises(RoomError, match=r"on-c wants a node c, which k8s/nodes\.yaml does not have"):
        left(there, [load("c")], at_most=False)


STUCK = ["a can't be drained: a pod of on-a finds no room elsewhere"]


@pytest.mark.parametrize(
    ("there", "every", "stuck"),
    [
        ({"a": (1, 100), "b": (1, 100)}, [load()], []),  # room for just one more
        ({"a": (1, 100), "b": (0.9, 100)}, [load()], STUCK),
        ({"a": (1, 100), "b": (1, 99)}, [load()], STUCK),
        ({"a": (1, 100), "b": (9, 900)}, [load(moves=False)], []),  # which does not go elsewhere
        ({"a": (1, 100)} | dict.fromkeys(("cache", "broker", "postgresql", "control-plane"), (9.0, 900.0)), [load()], STUCK),
        ({"a": (2, 200), "b": (1, 900), "c": (1, 900)}, [load(usual=2)], []),  # one each
        ({"a": (2, 200), "b": (1, 900)}, [load(usual=2)], STUCK),
        ({"a": (9, 900), "b": (2, 200)}, [load(), load("b", usual=2, most=2, moves=False)], STUCK),  # it is taken already
        # The largest first, where there is most room, so that the others still fit.
        ({"a": (9, 900), "b": (2, 300), "c": (1, 100)}, [load(memory=100, cpu=1), load(memory=300, cpu=1, name="large")], []),
        ({"a": (9, 900), "b": (2, 300), "c": (3, 100)}, [load(memory=300, name="large"), load(name="small")], []),
        # Of two that are drained one after the other each has its own pods, and none of another's.
        ({"a": (2, 200), "b": (2, 200), "c": (0, 0)}, [load(), load("b", name="other")], []),
        ({"a": (3, 300), "b": (1, 100)}, [load(), load(moves=False), load(moves=False)], []),
        ({"a": (9, 900), "b": (9, 250)}, [load(memory=100, usual=3)], STUCK),  # each takes its memory with it
        ({"a": (9, 900), "b": (9, 200)}, [load(), load("b", most=2, moves=False)], []),  # at the usual numbers
        # The most that they may be is not what is drained.
        ({"a": (1, 100), "b": (1, 100)}, [load(most=9)], []),
    ],
)  # fmt: skip
def test_a_node_can_be_drained_where_its_usual_pods_find_room_on_the_others(
    there: room.Room, every: list[Load], stuck: list[str]
) -> None:
    assert list(room._stuck(there, every)) == stuck


@pytest.mark.parametrize(
    ("every", "says"),
    [
        ([load(cpu=0.85, memory=350.0, most=2)], None),  # to the last core and megabyte
        ([load(cpu=0.9, memory=1.0, most=2)], r"a lacks 0\.10 cores and 0Mi \(here, at its most\)$"),
        ([load(cpu=0.1, memory=351.0, most=2)], r"a lacks 0\.00 cores and 2Mi \(here, at its most\)$"),
        (
            [load(cpu=1.7, memory=1.0, most=1), load("b", cpu=0.1, memory=1.0, most=18)],
            r"b lacks 0\.10 cores .*at its most\); a can't be drained: .* \(here\); b can't be drained: .* \(here\)$",
        ),
    ],
)
def test_all_that_does_not_fit_is_told_together(
    monkeypatch: pytest.MonkeyPatch, every: list[Load], says: str | None
) -> None:
    monkeypatch.setattr(room, "node_plan", lambda root: PLAN)
    monkeypatch.setattr(room, "loads", lambda services, root: every)
    if says is None:
        assert check_nodes([]) == {"here": left(room.empty(PLAN, "here"), every, at_most=True)}
    else:
        with pytest.raises(RoomError, match=says):
            check_nodes([])


def test_postgresql_has_a_connection_for_each_that_may_come_and_some_for_who_looks(tmp_path: Path) -> None:
    services = list(load_services().values())
    # Beside each worker is a syncer, with a connection of its own.
    [worker] = [one for one in services if one.name == "worker-ai"]
    assert connections([worker]) == {"worker-ai": worker.run.replicas * (worker.database.pool + 1)}
    every = sum(connections(services).values())
    conf = tmp_path / "k8s/base/postgres/postgresql.conf"
    conf.parent.mkdir(parents=True)
    for free in (5, 0):
        conf.write_text(f"port = 5432\nmax_connections = {every + room.HEADROOM + free}\n")
        assert check_connections(services, tmp_path) == free
    conf.write_text(f"max_connections = {every + room.HEADROOM - 1}\n")
    with pytest.raises(
        RoomError,
        match=rf"^all pools together \(.*api-auth \d+.*\) leave -1 of max_connections = {every + room.HEADROOM - 1}$",
    ):
        check_connections(services, tmp_path)
