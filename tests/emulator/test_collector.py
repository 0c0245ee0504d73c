"""The dashboard's memory of spans: found by every id, and bounded."""

import asyncio
import socket
from typing import Any

import msgspec
import pytest

from emulator.dashboard import spans
from emulator.dashboard.hearing import Hearing
from emulator.dashboard.spans import Collector
from shared.spans import NO_TRACE
from tests.emulator.test_timeline import span

TASK = "01a224d7-905a-76fc-afed-6df0dec6e7a8"


def tell(collector: Collector, one: dict[str, Any], trace: str) -> None:
    collector.hear([msgspec.json.encode(one | {"trace": trace})])


@pytest.fixture
def collector() -> Collector:
    found = Collector()
    tell(found, span("s", "server", "POST /x", 0, 5, status=202, request_id="request-1", path="/x"), "a" * 32)
    tell(found, span("e", "enqueue", "ai/look", 1, 0, "s", task=TASK, subject="subject-1"), "a" * 32)
    tell(found, span("s", "server", "GET /y", 0, 5, status=200, request_id="request-2", path="/y"), "b" * 32)
    return found


@pytest.mark.parametrize("id_", ["a" * 32, "a" * 8, "request-1", TASK, TASK[:13], TASK[-8:], "subject-1"])
def test_every_id_of_a_trace_leads_to_it(collector: Collector, id_: str) -> None:
    assert {one["trace"] for one in collector.trace(id_)} == {"a" * 32}


@pytest.mark.parametrize("id_", ["", "request-", "aa", "nothing-of-this"])
def test_what_names_no_trace_or_several_finds_none(collector: Collector, id_: str) -> None:
    assert collector.trace(id_) == []


def test_a_log_line_without_a_trace_goes_to_the_one_of_the_task_that_it_names(collector: Collector) -> None:
    tell(collector, span("l", "log", f"put off {TASK}", 9, 0, about=TASK, level="warning"), NO_TRACE)
    tell(collector, span("l", "log", "of nothing known", 9, 0, about="x", level="warning"), NO_TRACE)
    assert [one["name"] for one in collector.trace(TASK) if one["kind"] == "log"] == [f"put off {TASK}"]
    assert NO_TRACE not in collector.traces


def test_the_requests_that_failed_are_found_by_that_word(collector: Collector) -> None:
    assert collector.requests(10, "failed") == []
    tell(collector, span("r", "task", "ai/look", 2, 1, "s", task=TASK, status="failure", error="internal"), "a" * 32)
    assert [one["trace"] for one in collector.requests(10, "failed")] == ["a" * 32]


def test_a_request_that_reached_no_service_is_listed_by_what_the_gateway_says() -> None:
    collector = Collector()
    tell(collector, span("g", "gateway", "GET → api-auth", 0, 5, status=503, request_id="r", path="/api/x"), "c" * 32)
    (listed,) = collector.requests(10, "")
    assert (listed["attributes"]["path"], listed["failed"]) == ("/api/x", True)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b'{"trace": "a"}',
        b'{"trace":"a","attributes":{},"start":"x","ms":1}',
        b'{"trace":"a","attributes":{},"start":1,"ms":1}',
    ],
)
def test_a_datagram_of_somebody_else_is_dropped(data: bytes) -> None:
    collector = Collector()
    collector.hear([data])
    assert not collector.traces


@pytest.mark.parametrize("name", ["trace", "start", "ms", "kind", "service", "name", "id", "attributes"])
def test_a_datagram_that_lacks_something_or_has_something_else_there_is_dropped(name: str) -> None:
    collector, right = Collector(), span("s", "server", "GET /x", 0, 1, status=200)
    told = [{key: value for key, value in right.items() if key != name}]
    told += [right | {name: None}] if name != "trace" else []
    for one in told:
        collector.hear([msgspec.json.encode(one)])
    assert not collector.traces
    collector.hear([msgspec.json.encode(right)])
    assert collector.traces


def test_the_oldest_traces_go_with_all_that_leads_to_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spans, "TRACES", 3)
    monkeypatch.setattr(spans, "BYTES", 6000)
    collector = Collector()
    for number in range(20):
        trace = f"{number:032x}"
        tell(collector, span("s", "server", "GET /x", 0, 1, status=200, request_id=f"request-{number}"), trace)
        assert len(collector.traces) <= 3
    tell(collector, span("q", "sql", "SELECT " + "x" * 5900, 0, 1, "s"), f"{19:032x}")
    assert list(collector.traces) == [f"{19:032x}"]
    assert (collector.trace("request-18"), len(collector._ids)) == ([], 1)
    assert len(collector.trace("request-19")) == 2


def test_an_id_that_is_in_a_newer_trace_too_goes_on_leading_there_when_the_older_one_goes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(spans, "TRACES", 2)
    collector = Collector()
    for trace in "abc":
        more = {"subject": "subject-1"} if trace != "c" else {}
        tell(collector, span("e", "enqueue", "ai/look", 1, 0, "s", task=f"task-{trace}", **more), trace * 32)
    assert collector.trace_of("subject-1") == "b" * 32
    assert (collector.trace("task-a"), len(collector._ids)) == ([], 3)


def test_who_has_stopped_listening_keeps_no_more_than_a_thousand_spans(collector: Collector) -> None:
    queue = collector.listen()
    for number in range(1005):
        tell(collector, span(f"{number}", "sql", "SELECT 1", number, 1), "d" * 32)
    assert queue.qsize() == 1000
    collector.forget(queue)
    queue.get_nowait()
    tell(collector, span("s", "sql", "SELECT 1", 1, 1), "d" * 32)
    assert queue.qsize() == 999


def test_a_trace_keeps_its_first_spans_and_counts_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spans, "SPANS", 10)
    collector = Collector()
    for number in range(15):
        tell(collector, span(f"{number}", "sql", "SELECT 1", number, 1), "d" * 32)
    assert (len(collector.trace("d" * 32)), collector.traces["d" * 32].left_out) == (10, 5)


async def test_what_comes_at_once_is_heard_together_and_nothing_is_lost() -> None:
    sent, heard = [b"%d" % number for number in range(40)], list[list[bytes]]()
    hearing = Hearing(("127.0.0.1", 0), heard.append)
    try:
        async with asyncio.timeout(60):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
                for some in (sent[:20], sent[20:]):
                    for one in some:
                        wire.sendto(one, hearing.address)
                    while not heard or heard[-1][-1] != some[-1]:  # noqa: ASYNC110 - a list has no event
                        await asyncio.sleep(0.001)
    finally:
        hearing.close()
    assert [one for some in heard for one in some] == sent
    assert len(heard) < len(sent)
