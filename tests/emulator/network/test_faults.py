"""The faults that hold: what the proxy is told of them, what a person is, and how they end"""

from typing import Any

import pytest

from emulator.network.faults import Faults
from emulator.network.links import Fault, Link, Place

LINK = Link("api-waste", "redis-broker", 1, (Place("redis-broker", 2),))


def holding(*faults: Fault, seconds: float | None = None) -> Faults:
    found = Faults()
    for fault in faults:
        found.add(fault, seconds)
    return found


def fault(id_: str, **more: Any) -> Fault:
    return Fault(**({"id": id_, "target": "postgres", "kind": "cut"} | more))


def test_each_fault_has_an_id_of_its_own() -> None:
    faults = Faults()
    assert [faults.new_id() for _ in range(3)] == ["f1", "f2", "f3"]


def test_one_ends_or_all_do_and_what_is_not_there_does_not() -> None:
    faults = holding(*map(fault, "abc"))
    assert list(faults) == ["a", "b", "c"]
    assert faults.end("b") == ["b"]
    assert ("b" in faults, "a" in faults) == (False, True)
    assert faults.end("b") == []
    assert faults.end() == ["a", "c"]
    assert list(faults) == []


def test_the_proxy_is_told_of_every_link_and_of_every_fault_that_holds() -> None:
    faults = holding(fault("a", kind="latency", seconds=0.5, spread=0.1, source="api-auth"), fault("b"))
    faults.end("b")
    assert faults.order([LINK]) == {
        "links": [
            {
                "source": "api-waste",
                "target": "redis-broker",
                "port": 1,
                "to": ({"name": "redis-broker", "port": 2, "host": "127.0.0.1"},),
            }
        ],
        "faults": [
            {
                "id": "a",
                "target": "postgres",
                "kind": "latency",
                "source": "api-auth",
                "seconds": 0.5,
                "spread": 0.1,
                "rate": 0.0,
                "chance": 1.0,
            }
        ],
    }


@pytest.mark.parametrize(
    ("more", "seconds", "said"),
    [
        ({}, None, "a: postgres cut"),
        ({"source": "api-auth"}, None, "a: postgres cut from api-auth"),
        ({}, 60, "a: postgres cut, 60 s left"),
        ({"kind": "latency", "seconds": 0.5, "spread": 0.1}, None, "a: postgres latency 500ms±100"),
        ({"kind": "throttle", "rate": 2500}, None, "a: postgres throttle 2.5KB/s"),
        ({"kind": "reset", "chance": 0.25}, None, "a: postgres reset 25%"),
        ({"kind": "swallow", "chance": 0.25}, None, "a: postgres swallow 25%"),
    ],
    ids=str,
)
def test_a_fault_is_told_in_a_line(more: dict[str, Any], seconds: float | None, said: str) -> None:
    assert holding(fault("a", **more), seconds=seconds).line("a") == said


def test_what_has_no_time_left_says_so() -> None:
    assert holding(fault("a"), seconds=-5).line("a") == "a: postgres cut, 0 s left"
