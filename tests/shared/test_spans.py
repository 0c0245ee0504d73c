"""Spans: what the dashboard is told of a block, below which one, and that telling never holds anything up"""

import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from shared import clock, spans, trace

TRACE = f"00-{'a' * 32}-{'b' * 16}-01"
Told = Callable[[int], list[dict[str, Any]]]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[Told]:
    """So many spans as they arrive; none is left over at the end."""
    outer = trace.set_current(TRACE)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire, monkeypatch.context() as patched:
        wire.bind(("127.0.0.1", 0))
        wire.settimeout(10)
        patched.setenv("ECO2_SPANS", f"127.0.0.1:{wire.getsockname()[1]}")
        spans.configure("test")
        yield lambda count: [msgspec.json.decode(wire.recv(1 << 17)) for _ in range(count)]
        wire.setblocking(False)
        with pytest.raises(BlockingIOError):
            wire.recv(1 << 17)
    spans.configure("test")
    trace.reset_current(outer)


def test_a_span_is_told_whole_and_without_what_is_nothing(told: Told) -> None:
    spans.send("GET /x", "server", traceparent=TRACE, parent="c" * 16, started=1.5, seconds=0.0123456, a=1, b=None)
    assert told(1) == [
        {
            "trace": "a" * 32,
            "id": "b" * 16,
            "parent": "c" * 16,
            "service": "test",
            "name": "GET /x",
            "kind": "server",
            "start": 1.5,
            "ms": 12.346,
            "attributes": {"a": 1},
        }
    ]


def test_what_happens_in_a_block_is_below_it_and_what_comes_behind_is_not(told: Told) -> None:
    before = clock.time()
    with spans.span("outer", "task"), spans.span("inner", "sql", rows=2):
        spans.event("mark", "journal")
    assert trace.current() == TRACE
    spans.event("behind", "journal", at=5.0)
    mark, inner, outer, behind = told(4)
    assert [one["name"] for one in (mark, inner, outer, behind)] == ["mark", "inner", "outer", "behind"]
    assert [one["parent"] for one in (mark, inner, outer, behind)] == [inner["id"], outer["id"], "b" * 16, "b" * 16]
    assert {one["trace"] for one in (mark, inner, outer, behind)} == {"a" * 32}
    assert len({one["id"] for one in (mark, inner, outer, behind)}) == 4
    assert (inner["attributes"], mark["ms"], behind["start"]) == ({"rows": 2}, 0.0, 5.0)
    assert before <= outer["start"] <= inner["start"] <= clock.time()


def test_a_block_that_fails_says_why_in_one_line_and_ends_all_the_same(told: Told) -> None:
    with pytest.raises(ValueError), spans.span("block", "task"):
        raise ValueError("first\nsecond")
    assert trace.current() == TRACE
    [failed] = told(1)
    assert failed["attributes"] == {"error": "ValueError", "said": "first"}
    assert spans.failure(KeyError()) == {"error": "KeyError"}
    assert len(spans.failure(ValueError("x" * 9000))["said"]) == 500


def test_long_texts_are_cut_and_what_is_too_much_for_a_datagram_is_left_out(told: Told) -> None:
    spans.event("n" * 20_000, "sql", text="é" * 20_000, number=7)
    spans.event("much", "sql", **{f"t{number}": "é" * 12_000 for number in range(6)}, number=7, share=0.5)
    cut, left_out = told(2)
    assert (len(cut["name"]), cut["attributes"]) == (12_000, {"text": "é" * 12_000 + " …", "number": 7})
    assert left_out["attributes"] == {"number": 7, "share": 0.5}


def test_only_waiting_that_a_person_could_see_is_told(told: Told) -> None:
    spans.waited("short", time.perf_counter())
    spans.waited("long", time.perf_counter() - 5)
    [waited] = told(1)
    assert (waited["name"], waited["kind"], waited["parent"]) == ("long", "wait", "b" * 16)
    assert waited["ms"] >= 5000
    assert waited["start"] <= clock.time() - 5


def test_what_belongs_to_no_trace_is_not_told(told: Told) -> None:
    trace.set_current("")
    with spans.span("block", "task"):
        spans.event("mark", "journal")
        spans.waited("long", time.perf_counter() - 5)
    assert trace.current() == ""


def test_telling_waits_for_no_one_and_the_address_before_is_let_go(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    before = spans._sender.wire
    assert before is not None
    assert not before.getblocking()
    monkeypatch.setenv("ECO2_SPANS", "127.0.0.1:9")
    spans.configure("test")
    assert before.fileno() == -1
    assert spans.on()
    for _ in range(3):
        spans.event("to no one", "journal")  # the second hears that no one is there
    # What spans hold is for who sits at this machine.
    for nowhere in ("", "192.0.2.1:9", "0.0.0.0:9", "127.0.0.1", "127.0.0.1:http"):
        monkeypatch.setenv("ECO2_SPANS", nowhere)
        spans.configure("test")
        assert not spans.on()
    spans.event("nowhere", "journal")
