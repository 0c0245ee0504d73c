"""Collects the spans that every process sends (shared/spans.py), keeps the latest traces, and tells listeners."""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import msgspec

# Traces kept, and spans of one trace: a picture, not an archive.
TRACES = 2000
SPANS = 500
# What else a trace is known by: the attributes that are ids.
NAMED = ("request_id", "task", "subject")


class Collector(asyncio.DatagramProtocol):
    """Takes datagrams; traces by id, oldest first."""

    def __init__(self) -> None:
        self.traces: OrderedDict[str, list[dict[str, Any]]] = OrderedDict()
        self._listeners: set[asyncio.Queue[dict[str, Any]]] = set()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        try:
            span = msgspec.json.decode(data, type=dict[str, Any])
            trace = str(span["trace"])
        except (msgspec.DecodeError, KeyError):
            return  # cut off, or none of ours
        spans = self.traces.setdefault(trace, [])
        if len(spans) < SPANS:
            spans.append(span)
        self.traces.move_to_end(trace)
        while len(self.traces) > TRACES:
            self.traces.popitem(last=False)
        for listener in self._listeners:
            if listener.qsize() < 1000:
                listener.put_nowait(span)

    def listen(self) -> asyncio.Queue[dict[str, Any]]:
        queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._listeners.add(queue)
        return queue

    def forget(self, queue: asyncio.Queue[dict[str, Any]]) -> None:
        self._listeners.discard(queue)

    def requests(self, limit: int, words: str) -> list[dict[str, Any]]:
        """The latest requests, newest first: the span each trace began with, what else is in the trace, and its tasks."""
        found = []
        for trace, spans in reversed(self.traces.items()):
            servers = [span for span in spans if span["kind"] == "server"]
            if not servers:
                continue
            root = min(servers, key=lambda span: span["start"])
            if str(root["name"]).endswith("/openapi.json"):
                continue  # the catalogue's own reading
            ids = _ids(spans)
            line = f"{root['name']} {root['attributes'].get('path', '')} {root['attributes'].get('status', '')}"
            if words.strip().lower() not in f"{line} {trace} {root['service']} {' '.join(ids)}".lower():
                continue
            kinds: dict[str, int] = {}
            for span in spans:
                kinds[span["kind"]] = kinds.get(span["kind"], 0) + 1
            tasks = list(
                dict.fromkeys(str(span["attributes"]["task"]) for span in spans if "task" in span["attributes"])
            )
            found.append(root | {"kinds": kinds, "tasks": tasks})
            if len(found) >= limit:
                break
        return found

    def trace(self, id_: str) -> list[dict[str, Any]]:
        """Every span of a trace, in the order of their beginnings; by its own id, a request's of it, or a task's."""
        return sorted(self.traces.get(self.trace_of(id_), ()), key=lambda span: (span["start"], -span["ms"]))

    def trace_of(self, id_: str, named: Sequence[str] = NAMED) -> str:
        """The trace that an id belongs to: its own, a request's, a task's; empty where none is known."""
        if id_ in self.traces or not id_:
            return id_
        return next((trace for trace, spans in reversed(self.traces.items()) if id_ in _ids(spans, named)), "")


def _ids(spans: list[dict[str, Any]], named: Sequence[str] = NAMED) -> set[str]:
    return {str(span["attributes"][name]) for span in spans for name in named if span["attributes"].get(name)}
