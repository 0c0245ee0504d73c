"""The dashboard's memory of traces: how much it takes after 10,000 requests, and how fast one is found."""

import multiprocessing
import statistics
import time
from multiprocessing.connection import Connection
from typing import Any

import msgspec
import psutil

from emulator.dashboard.spans import Collector
from emulator.timeline import build

REQUESTS = 10_000
# A body at its longest, a statement of some size, and what a request that accepts a photo leaves behind.
_BODY = '{"content": "' + "x" * 3900 + '"}'
_SQL = (
    "SELECT a.id, a.status, a.image_url, a.waste_type, a.confidence, a.analysis_result FROM analyses a WHERE a.id = %s"
)


def _spans(number: int) -> list[dict[str, Any]]:
    trace, task, at = f"{number:032x}", f"01a224d7-0000-7000-8000-{number:012x}", float(number)
    kinds = [("gateway", {"request_body": _BODY, "answer_body": _BODY, "status": 202}), ("server", {"status": 202})]
    kinds += [("sql", {})] * 8 + [("s3", {})] * 4
    kinds += [(kind, {"task": task}) for kind in ("enqueue", "publish", "journal", "task", "journal", "result")]
    kinds += [("log", {"level": "info"})] * 3
    return [
        {
            "trace": trace,
            "id": f"{place:016x}",
            "parent": f"{max(place - 1, 0):016x}" if place else "",
            "service": "waste",
            "name": f"{_SQL} -- {number % 40}" if kind == "sql" else "POST /api/v1/waste/analyses",
            "kind": kind,
            "start": at + place / 1000,
            "ms": 1.0,
            "attributes": {"request_id": f"request-{number:08}", "path": "/api/v1/waste/analyses", **facts},
        }
        for place, (kind, facts) in enumerate(kinds)
    ]


def _measure(answer: Connection) -> None:
    collector, memory = Collector(), psutil.Process().memory_info
    before, used = memory().rss, 0.0
    for number in range(REQUESTS):
        datagrams = [msgspec.json.encode(span) for span in _spans(number)]
        started = time.process_time()
        for data in datagrams:
            collector.hear([data])
        used += time.process_time() - started
    grown = (memory().rss - before) / 1e6
    lookups = []
    for number in range(REQUESTS - 500, REQUESTS):
        started = time.perf_counter()
        assert build(collector.trace(f"request-{number:08}")).rows
        lookups.append((time.perf_counter() - started) * 1000)
    answer.send((grown, used / REQUESTS * 1e6, statistics.median(lookups), len(collector.traces)))


def run() -> list[dict[str, Any]]:
    """The rows; in a process of its own, whose memory is the collector's."""
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.get_context("spawn").Process(target=_measure, args=(theirs,))
    child.start()
    grown, cost, lookup, kept = ours.recv()
    child.join()
    return [
        {
            "name": "dashboard memory after 10,000 requests",
            "ours": round(grown, 1),
            "budget": "≤ 100",
            "unit": "MB more",
            "note": f"23 spans and two bodies of 4 kB each; the latest {kept} traces are kept",
        },
        {"name": "a trace found and put in rows", "ours": round(lookup, 2), "budget": "≤ 5", "unit": "ms"},
        {"name": "the dashboard's work for a request", "ours": round(cost), "unit": "µs of CPU"},
    ]
