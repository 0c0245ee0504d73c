"""Logs and metrics of a process: JSON lines in a pod, readable on a terminal; Prometheus text at /metrics.

What every request costs is counted in plain lists and written in batches; prometheus_client, which takes 60 ms to import,
is loaded by the first scrape.
"""

from __future__ import annotations

import asyncio
import logging
import re
import sys
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from msgspec import Struct

from shared import clock, supervision, trace

if TYPE_CHECKING:
    from prometheus_client import Metric

# Seconds; the upper edges of the latency histogram's buckets.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
# Access lines wait so long for company before they are written in one go, in seconds.
_BATCH = 0.05

# What PostgreSQL adds to an error (psycopg prints it with the error): the values of the row it refused.
_VALUES = re.compile(r"^(?:DETAIL|CONTEXT|LINE \d+):.*?(?=\n\n(?:The above exception|During handling)|\Z)", re.M | re.S)

_encoder = msgspec.json.Encoder()
_encode = _encoder.encode


class _Formatter(logging.Formatter):
    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's own name
        """The stack, without the values that a database's error repeats."""
        return _VALUES.sub("[values left out]", super().formatException(ei))


class JsonFormatter(_Formatter):
    """One JSON object a line."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self.service = service

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "time": clock.now(),
            "level": record.levelname.lower(),
            "service": self.service,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if request_id := trace.request_id():
            entry["request_id"] = request_id
        if traceparent := trace.current():
            entry["trace_id"] = traceparent[3:35]
        if record.exc_info:
            entry["stack"] = self.formatException(record.exc_info)
        return _encode(entry).decode()


def printable(text: str) -> str:
    """The text with control characters as escapes: a request's path must neither begin a line nor speak to a terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class TextFormatter(_Formatter):
    """For people: time, level, message."""

    def format(self, record: logging.LogRecord) -> str:
        text = f"{clock.now():%H:%M:%S} {record.levelname.lower():7} {record.name}: {printable(record.getMessage())}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


def configure(service: str, form: Literal["json", "text"], level: str) -> None:
    """Set up the process's logging, to standard output."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter(service) if form == "json" else TextFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # Their own words about every request and connection add nothing to ours.
    for noisy in ("httpx", "httpcore", "botocore", "boto3", "urllib3", "dramatiq", "uvicorn.access", "psycopg.pool"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


class Line(Struct, omit_defaults=True, gc=False):
    """A request in the access log."""

    time: float | datetime
    service: str
    method: str
    path: str
    status: int
    ms: float
    request_id: str
    trace_id: str
    user: str | None = None  # shared.identity.alias_of: logs can not be erased line by line
    level: Literal["info", ""] = ""
    message: Literal["request", ""] = ""


class AccessLog:
    """One line a request, gathered and written a few times a second. Used from the event loop only."""

    def __init__(self, service: str, form: Literal["json", "text"], *, enabled: bool = True) -> None:
        self._service = service
        self._json = form == "json"
        self._lines: list[Line] = []
        self._timer: asyncio.TimerHandle | None = None
        self.enabled = enabled

    def add(
        self, method: str, path: str, status: int, seconds: float, user: str | None, request_id: str, traceparent: str
    ) -> None:
        """Note a request. Its query, which may hold a person's words, is not logged."""
        if not self.enabled:
            return
        ms = round(seconds * 1000, 2)
        self._lines.append(
            Line(
                clock.time(),
                self._service,
                method,
                path,
                status,
                ms,
                request_id,
                traceparent[3:35],
                user,
                "info",
                "request",
            )
        )
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_BATCH, self.flush)

    def flush(self) -> None:
        """Write what has gathered."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._lines:
            return
        lines, self._lines = self._lines, []
        for line in lines:
            line.time = datetime.fromtimestamp(float(line.time), UTC)  # type: ignore[arg-type]  # still the number that the request was noted with
        if self._json:
            text = _encoder.encode_lines(lines).decode()
        else:
            text = "".join(
                f"{x.time:%H:%M:%S} {x.status} {x.method} {printable(x.path)} {x.ms:.1f} ms\n" for x in lines
            )
        sys.stdout.write(text)
        sys.stdout.flush()


class Latencies:
    """A histogram per route and status. Adding costs a dict look-up and three additions."""

    def __init__(self) -> None:
        self._cells: dict[tuple[str, str, str, int], list[float]] = {}

    def add(self, service: str, method: str, route: str, status: int, seconds: float) -> None:
        key = (service, method, route, status)
        cell = self._cells.get(key)
        if cell is None:
            cell = self._cells[key] = [0.0] * (len(BUCKETS) + 2)
        cell[bisect_left(BUCKETS, seconds)] += 1
        cell[-1] += seconds

    def collect(self) -> Iterator[Metric]:
        from prometheus_client.core import HistogramMetricFamily

        family = HistogramMetricFamily(
            "eco2_request_seconds",
            "Time from a request's arrival to the end of its answer",
            labels=["service", "method", "route", "status"],
        )
        for (service, method, route, status), cell in list(self._cells.items()):
            total = 0.0
            buckets = []
            for edge, count in zip([*map(str, BUCKETS), "+Inf"], cell, strict=False):
                total += count
                buckets.append((edge, total))
            family.add_metric([service, method, route, str(status)], buckets, cell[-1])
        yield family


class Gauges:
    """Numbers that are looked up when somebody scrapes: pool use, queue depth, outbox age, journal backlog."""

    def __init__(self) -> None:
        self._sources: dict[str, tuple[str, dict[str, str], Callable[[], float | None]]] = {}
        self._lock = threading.Lock()

    def add(self, name: str, help_text: str, read: Callable[[], float | None], **labels: str) -> None:
        """Have `read` called at each scrape; it answers None while there is nothing to say."""
        with self._lock:
            self._sources[f"{name}{sorted(labels.items())}"] = (f"{name}\n{help_text}", labels, read)

    def collect(self) -> Iterator[Metric]:
        from prometheus_client.core import GaugeMetricFamily

        families: dict[str, GaugeMetricFamily] = {}
        with self._lock:
            sources = list(self._sources.values())
        for name_and_help, labels, read in sources:
            value = read()
            if value is not None:
                name, _, help_text = name_and_help.partition("\n")
                family = families.setdefault(name, GaugeMetricFamily(name, help_text, labels=list(labels)))
                family.add_metric(list(labels.values()), value)
        yield from families.values()


def _ends_of_loops() -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily

    family = CounterMetricFamily(
        "eco2_loop_ends",
        "Ends of loops that should live for ever, each started again or the process's end",
        labels=["loop"],
    )
    for name, count in supervision.ends().items():
        family.add_metric([name], count)
    yield family


latencies = Latencies()
gauges = Gauges()


def exposition() -> bytes:
    """What /metrics answers: ours, and what prometheus_client knows of the process."""
    from prometheus_client import REGISTRY, CollectorRegistry, generate_latest

    registry = CollectorRegistry(auto_describe=False)
    for read in (latencies.collect, gauges.collect, _ends_of_loops):
        registry.register(_Collector(read))
    return generate_latest(REGISTRY) + generate_latest(registry)


class _Collector:
    def __init__(self, read: Callable[[], Iterable[Metric]]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        return self._read()
