"""Collects the spans that every process sends (shared/spans.py), keeps the latest traces, and tells listeners.

A picture, not an archive: the newest traces within bounds, in count and in bytes. A span is kept as it came and decoded when
somebody looks; only what a trace is found by is taken out at once.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from emulator.dashboard.slow import Slow
from shared.spans import NO_TRACE

# Traces kept, spans of one trace, and bytes of all.
TRACES = 2000
SPANS = 500
BYTES = 32_000_000
# What else a trace is known by: the attributes that are ids.
NAMED = ("request_id", "task", "subject")
# Below this an id's beginning is not looked up.
SHORTEST = 6

Span = dict[str, Any]


class Trace(Struct):
    """What is kept of one trace. `root` is the server's span that it began with, or the gateway's where there is none."""

    id: str
    raw: list[bytes] = []
    size: int = 0
    left_out: int = 0
    root: Span | None = None
    kinds: dict[str, int] = {}
    ids: dict[str, None] = {}  # in the order in which they came
    tasks: dict[str, None] = {}
    failed: bool = False

    def add(self, data: bytes, span: Span) -> None:
        self.raw.append(data)
        self.size += len(data)
        kind, facts = str(span["kind"]), span["attributes"]
        self.kinds[kind] = self.kinds.get(kind, 0) + 1
        self.ids |= dict.fromkeys(named(span))
        if facts.get("task"):
            self.tasks[str(facts["task"])] = None
        # A statement that failed may be just what its function looks for (a name that is taken).
        self.failed = self.failed or (kind not in ("sql", "s3") and failed(span))
        if kind == "server" or (kind == "gateway" and self.root is None):
            first = self.root is None or self.root["kind"] == "gateway" or span["start"] < self.root["start"]
            if first:
                left = ("request_body", "answer_body")
                self.root = span | {"attributes": {k: v for k, v in facts.items() if k not in left}}

    def spans(self) -> list[Span]:
        """In the order of their beginnings."""
        found = [msgspec.json.decode(data, type=dict[str, Any]) for data in self.raw]
        return sorted(found, key=lambda span: (span["start"], -span["ms"]))


def named(span: Span) -> dict[str, str]:
    """The ids that a span is found by, and which each of them is."""
    return {str(span["attributes"][name]): name for name in NAMED if span["attributes"].get(name)}


def failed(span: Span) -> bool:
    """Whether what the span is about went wrong; a refusal (4xx) did not, nor what is tried again."""
    facts = span["attributes"]
    status = facts.get("status")
    if isinstance(status, int):
        return status >= 500
    if span["kind"] == "log":
        return facts.get("level") in ("error", "critical")
    return status == "failure" or ("error" in facts and status != "put off")


class Collector:
    """Takes spans as they were sent; traces by id, the one that grew last at the end."""

    def __init__(self) -> None:
        self.traces: OrderedDict[str, Trace] = OrderedDict()
        self.slow = Slow()
        self._ids: dict[str, tuple[str, str]] = {}  # a request's, task's or subject's id → its trace's, and which it is
        self._bytes = 0
        self._listeners: set[asyncio.Queue[Span]] = set()
        # A recording that is open gets them as they came.
        self.keep: Callable[[list[bytes]], None] = lambda spans: None
        # Who looks for locks hears of statements that take long, and of the end of each.
        self.late: Callable[[Span], None] = lambda span: None
        self.ended: Callable[[Span], None] = lambda span: None

    def hear(self, spans: list[bytes]) -> None:
        """Take those that came together."""
        self.keep(spans)
        for data in spans:
            self._hear(data)

    def _hear(self, data: bytes) -> None:
        try:
            span = msgspec.json.decode(data, type=dict[str, Any])
            id_ = str(span["trace"])
            about = span["attributes"].get("about")
            # Numbers and names, or it is none of ours.
            _ = span["start"] + span["ms"], span["kind"] + span["service"] + span["name"] + span["id"]
        except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
            return
        if span["kind"] == "late":
            self.late(span)
            return
        if span["kind"] == "sql":
            self.ended(span)
        if id_ == NO_TRACE:
            id_ = self.trace_of(str(about))
            if id_ not in self.traces:
                return
        self.slow.add(span)
        self._take(id_, data, span)

    def tell(self, span: Span) -> None:
        """Take a span of the dashboard's own."""
        self._take(str(span["trace"]), msgspec.json.encode(span), span)

    def _take(self, id_: str, data: bytes, span: Span) -> None:
        self._keep(id_, data, span)
        for listener in self._listeners:
            if listener.qsize() < 1000:
                listener.put_nowait(span)

    def _keep(self, id_: str, data: bytes, span: Span) -> None:
        trace = self.traces.get(id_)
        if trace is None:
            trace = self.traces[id_] = Trace(id_)
        if len(trace.raw) < SPANS:
            trace.add(data, span)
            self._bytes += len(data)
            for one, what in named(span).items():
                self._ids[one] = (id_, what)
        else:
            trace.left_out += 1
        self.traces.move_to_end(id_)
        while len(self.traces) > TRACES or (self._bytes > BYTES and len(self.traces) > 1):
            _, gone = self.traces.popitem(last=False)
            self._bytes -= gone.size
            for one in gone.ids:
                if self._ids.get(one, ("",))[0] == gone.id:
                    del self._ids[one]

    def listen(self) -> asyncio.Queue[Span]:
        queue: asyncio.Queue[Span] = asyncio.Queue()
        self._listeners.add(queue)
        return queue

    def forget(self, queue: asyncio.Queue[Span]) -> None:
        self._listeners.discard(queue)

    def requests(self, limit: int, words: str) -> list[Span]:
        """The latest requests, newest first: the span each trace began with, what else is in the trace, and its tasks."""
        found = []
        for trace in self._matching(words.strip().lower()):
            more = {"kinds": trace.kinds, "tasks": list(trace.tasks), "failed": trace.failed}
            found.append((trace.root or {}) | more)
            if len(found) >= limit:
                break
        return found

    def _matching(self, words: str) -> Iterator[Trace]:
        for trace in reversed(self.traces.values()):
            root = trace.root
            if root is None or str(root["name"]).endswith("/openapi.json"):
                continue  # the catalogue's own reading
            facts = root["attributes"]
            state = "failed" if trace.failed else ""
            line = (
                f"{root['name']} {facts.get('path', '')} {facts.get('status', '')} {trace.id} {root['service']} {state}"
            )
            if words in f"{line} {' '.join(trace.ids)}".lower():
                yield trace

    def trace(self, id_: str) -> list[Span]:
        """Every span of a trace, in the order of their beginnings; by its own id, a request's of it, or a task's."""
        found = self.traces.get(self.trace_of(id_))
        return found.spans() if found else []

    def trace_of(self, id_: str, kinds: Sequence[str] = NAMED) -> str:
        """The trace that an id belongs to: its own, a request's, a task's, or the beginning or end of one; empty: none."""
        if id_ in self.traces or not id_:
            return id_
        if id_ in self._ids:
            return self._ids[id_][0] if self._ids[id_][1] in kinds else ""
        if len(id_) < SHORTEST:
            return ""
        near = {trace for known, (trace, what) in self._ids.items() if _near(known, id_) and what in kinds}
        near |= {known for known in self.traces if _near(known, id_)}
        return near.pop() if len(near) == 1 else ""


def _near(known: str, part: str) -> bool:
    """Whether an id begins or ends so: lists show the beginning of a random one, and the end of one that begins with its time."""
    return known.startswith(part) or known.endswith(part)
