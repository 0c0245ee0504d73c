"""Logs and metrics of a process: JSON lines in a pod, readable on a terminal; Prometheus text at /metrics.

What every request costs is counted in plain lists and written in batches; prometheus_client, which takes 60 ms to import,
is loaded by the first scrape.
"""

from __future__ import annotations

import asyncio
import linecache
import logging
import re
import sys
import traceback
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from msgspec import Struct

from shared import clock, spans, supervision, trace

if TYPE_CHECKING:
    from prometheus_client import Metric

# Seconds; the upper edges of the latency histogram's buckets.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
# Access lines wait so long for company before they are written in one go, in seconds.
_BATCH = 0.05
# Or until so many have gathered.
_LINES = 1000

# What PostgreSQL adds to an error (psycopg prints it with the error): the values of the row it refused.
_VALUES = re.compile(r"^(?:DETAIL|CONTEXT|LINE \d+):.*?(?=\n\n(?:The above exception|During handling)|\Z)", re.M | re.S)

# The checkout, or what a container has of it: files in it are ours, and their lines are worth showing.
_OWN = str(Path(__file__).resolve().parents[1])
# Of the stack of an exception so many innermost frames of ours are shown to a developer, with so many lines around each.
_FRAMES, _AROUND = 5, 3
_UUID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")

_encoder = msgspec.json.Encoder()
_encode = _encoder.encode


def stack_of(error: BaseException) -> str:
    """The traceback, without the values that a database's error repeats."""
    return _VALUES.sub("[values left out]", "".join(traceback.format_exception(error)).rstrip("\n"))


class _Formatter(logging.Formatter):
    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's own name
        """The stack, without the values that a database's error repeats."""
        return stack_of(ei[1]) if ei[1] is not None else super().formatException(ei)


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
        if ahead := clock.offset():
            entry["ahead"] = ahead
        if record.exc_info:
            entry["stack"] = self.formatException(record.exc_info)
        return _encode(entry).decode()


def printable(text: str) -> str:
    """The text with control characters as escapes: a request's path must neither begin a line nor speak to a terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _text(at: datetime, level: str, logger: str, message: str, request_id: str, trace_id: str) -> str:
    """A line for people, which emulator.logbook reads back: time, level, logger, message, and the ids that lead to a trace."""
    ahead = clock.offset()
    facts = {"request": request_id, "trace": trace_id, "ahead": f"{ahead:.0f}" if ahead else ""}
    ids = " ".join(f"{name}={value}" for name, value in facts.items() if value)
    line = f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03} {level:7} {logger}: {message}"
    return f"{line}  [{ids}]" if ids else line


class TextFormatter(_Formatter):
    """For people: time, level, message, ids."""

    def format(self, record: logging.LogRecord) -> str:
        message, level = printable(record.getMessage()), record.levelname.lower()
        text = _text(clock.now(), level, record.name, message, trace.request_id(), trace.current()[3:35])
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


class SpanHandler(logging.Handler):
    """Tells the emulator's dashboard of each line, where it is in a trace or names a task; an exception with its source."""

    def emit(self, record: logging.LogRecord) -> None:
        if not spans.on():
            return
        message, within = record.getMessage(), trace.current()
        about = _UUID.search(message)
        if not within and about is None:
            return
        error = record.exc_info[1] if record.exc_info else None
        facts: dict[str, Any] = {"level": record.levelname.lower(), "logger": record.name}
        facts |= spans.failure(error) if error else {}
        facts |= {"stack": stack_of(error), "source": source_of(error)} if error else {}
        if not within:
            within, facts["about"] = f"00-{spans.NO_TRACE}-{'0' * 16}-01", about and about[0]
        spans.event(message, "log", within, **facts)


def source_of(error: BaseException) -> str:
    """The lines around the innermost frames of ours, of the exception and of what it came from; for a developer to read."""
    found: list[tuple[str, int, str]] = []
    seen: BaseException | None = error
    while seen is not None:
        found += [*_frames(seen.__traceback__)][::-1]
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    ours = [frame for frame in found if frame[0].startswith(_OWN + "/") and "/.venv/" not in frame[0]]
    # What a developer wrote says more than what called it.
    ours.sort(key=lambda frame: not frame[0].startswith(_OWN + "/functions/"))
    return "\n\n".join(_around(*frame) for frame in ours[:_FRAMES])


def _frames(walked: TracebackType | None) -> Iterator[tuple[str, int, str]]:
    while walked is not None:
        yield walked.tb_frame.f_code.co_filename, walked.tb_lineno, walked.tb_frame.f_code.co_name
        walked = walked.tb_next


def _around(file: str, number: int, function: str) -> str:
    lines = linecache.getlines(file)
    first = max(number - _AROUND, 1)
    shown = [
        f"{'>' if at == number else ' '} {at:4} {line.rstrip()}"
        for at, line in enumerate(lines[first - 1 : number + _AROUND], first)
    ]
    return "\n".join([f"{file.removeprefix(_OWN + '/')}:{number} in {function}", *shown])


def configure(service: str, form: Literal["json", "text"], level: str) -> None:
    """Set up the process's logging, to standard output."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter(service) if form == "json" else TextFormatter())
    logging.basicConfig(handlers=[handler, SpanHandler()], force=True)
    quiet(level)


def quiet(level: str = "info") -> None:
    """Set the root's level; what libraries say about every request and connection adds nothing to our own words."""
    levels = dict.fromkeys(
        ("httpx", "httpcore", "botocore", "urllib3", "dramatiq", "uvicorn.access", "psycopg.pool"), "WARNING"
    )
    for name, wanted in {"": level.upper(), **levels}.items():
        logger = logging.getLogger(name)
        # A level that is set again makes each logger forget what it knows: in the emulator they share that with other processes.
        if logging.getLevelName(logger.level) != wanted:
            logger.setLevel(wanted)


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
        if len(self._lines) >= _LINES:
            self.flush()
        elif self._timer is None:
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
        texts = "".join(f"{_access_text(line)}\n" for line in lines) if not self._json else ""
        sys.stdout.write(texts or _encoder.encode_lines(lines).decode())
        sys.stdout.flush()


def _access_text(line: Line) -> str:
    assert isinstance(line.time, datetime)
    message = f"{line.status} {line.method} {printable(line.path)} {line.ms:.1f} ms"
    return _text(line.time, "info", "request", message, line.request_id, line.trace_id)


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

    def add(self, name: str, help_text: str, read: Callable[[], float | None], **labels: str) -> None:
        """Have `read` called at each scrape; it answers None while there is nothing to say."""
        self._sources[f"{name}{sorted(labels.items())}"] = (f"{name}\n{help_text}", labels, read)

    def collect(self) -> Iterator[Metric]:
        from prometheus_client.core import GaugeMetricFamily

        families: dict[str, GaugeMetricFamily] = {}
        for name_and_help, labels, read in list(self._sources.values()):
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
