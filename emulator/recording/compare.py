"""What differs between a recording and its replay: status, body, statements, tasks, objects. Durations are told, not judged."""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from emulator.recording import folder as recordings
from emulator.recording import form
from emulator.recording.align import Aligned
from emulator.recording.form import Exchange, Span
from emulator.recording.order import Order, is_run

# What an answer's headers promise; others are dates, ids and lengths.
_HEADERS = ("content-type", "cache-control", "location", "retry-after", "www-authenticate", "allow")
ABSENT = "(nothing)"


class Difference(Struct, frozen=True):
    """`field` is `status`, `header.NAME`, `body.FIELD`, `sql FUNCTION`, `tasks` or `objects`."""

    field: str
    was: Any
    now: Any


class Compared(Struct):
    """One request. `raced`: it read while work was under way, so that its status alone is compared."""

    id: str
    function: str
    method: str
    path: str
    was: float
    now: float
    raced: bool = False
    differences: list[Difference] = []


class Recorded:
    """A recording as it is compared: exchanges, and spans by trace."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.exchanges = form.read_exchanges(folder)
        self.spans = form.read_spans(folder)

    @property
    def lost(self) -> bool:
        """Whether spans of it are missing, so that statements can't be compared."""
        return int(recordings.read_about(self.folder).get("spans_lost") or 0) > 0

    def by_id(self) -> dict[str, Exchange]:
        return {exchange.id: exchange for exchange in self.exchanges}

    def function(self, exchange: Exchange, names: Mapping[str, str]) -> str:
        """The function that answered, as `waste/create_analysis`; the route where it is not known by name."""
        if exchange.to == "s3":
            return "object store"
        for span in self.spans.get(exchange.trace, ()):
            if span.kind == "server" and span.attributes.get("request_id") == exchange.given_id:
                return names.get(span.name, span.name)
        return "gateway"


def compare(
    was: Recorded,
    now: Recorded,
    aligned: Aligned,
    names: Mapping[str, str],
    sent: Collection[str],
    only: Collection[str] | None = None,
) -> list[Compared]:
    """Compare each request of the recording with its pair of the replay.

    Args:
        names: functions by their method and route.
        sent: ids of the requests that were sent again.
        only: ids of requests to compare; the others are looked at for ids alone.
    """
    order = Order(was.exchanges, was.spans)
    replayed = now.by_id()
    statements = not (was.lost or now.lost)
    found = []
    for exchange in was.exchanges:
        if exchange.id not in sent:
            continue
        other = replayed.get(exchange.id)
        one = Compared(
            exchange.id,
            was.function(exchange, names),
            exchange.method,
            exchange.path,
            exchange.answer.seconds,
            other.answer.seconds if other else 0.0,
            raced=order.raced(exchange) and not exchange.is_stream,
        )
        if other is None:
            one.differences = [Difference("status", exchange.answer.status, ABSENT)]
        else:
            one.differences = list(_answers(was, exchange, now, other, aligned, one.raced))
            if statements and not one.raced and not exchange.is_stream:
                one.differences += _done(was.spans.get(exchange.trace, []), now.spans.get(other.trace, []), aligned)
        if only is None or exchange.id in only:
            found.append(one)
    return found


def _answers(
    was: Recorded, exchange: Exchange, now: Recorded, other: Exchange, aligned: Aligned, raced: bool
) -> Iterator[Difference]:
    one, two = exchange.answer, other.answer
    if one.status != two.status:
        yield Difference("status", one.status, two.status)
    if exchange.is_stream:
        yield from _streams(was, exchange, now, other, aligned)
        return
    first, second = value_of(was.folder, exchange), value_of(now.folder, other)
    if raced or one.ended != "whole":
        aligned.learn(first, second)
        return
    given, gotten = dict(one.headers), dict(two.headers)
    if given.get("content-type") != gotten.get(
        "content-type"
    ):  # an error in place of an answer, or the other way round
        yield Difference("body", first, second)
        return
    for name in _HEADERS:
        if not aligned.same(given.get(name, ""), gotten.get(name, "")):
            yield Difference(f"header.{name}", given.get(name, ABSENT), gotten.get(name, ABSENT))
    if one.body.cut or two.body.cut:
        if (one.body.size, one.body.hash) != (two.body.size, two.body.hash):
            yield Difference("body", f"{one.body.size} bytes", f"{two.body.size} bytes, or others")
        return
    yield from values("body", first, second, aligned)


def value_of(folder: Path, exchange: Exchange) -> Any:
    """The answer's body: JSON decoded, else text, else the bytes' hash."""
    content = form.content_of(folder, exchange.answer.body)
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return f"{len(content)} bytes, {exchange.answer.body.file}"
    try:
        value = json.loads(text) if text else None
    except ValueError:
        return text
    # It names the files of one checkout.
    return {key: inner for key, inner in value.items() if key != "traceback"} if isinstance(value, dict) else value


def values(field: str, was: Any, now: Any, aligned: Aligned) -> Iterator[Difference]:
    """Where two JSON values differ, by the field's path."""
    if isinstance(was, dict) and isinstance(now, dict):
        for key in [*was, *(key for key in now if key not in was)]:
            yield from values(f"{field}.{key}", was.get(key, ABSENT), now.get(key, ABSENT), aligned)
    elif isinstance(was, list) and isinstance(now, list):
        for number, (one, two) in enumerate(zip(was, now, strict=False)):
            yield from values(f"{field}[{number}]", one, two, aligned)
        if len(was) != len(now):
            yield Difference(f"{field}.length", len(was), len(now))
    elif isinstance(was, str) and isinstance(now, str):
        if not aligned.same(was, now):
            yield Difference(field, was, now)
    elif was != now or type(was) is not type(now):
        yield Difference(field, was, now)


def _streams(
    was: Recorded, exchange: Exchange, now: Recorded, other: Exchange, aligned: Aligned
) -> Iterator[Difference]:
    """How an event stream ended: what came before depends on when it was looked at."""
    if exchange.answer.ended != "whole":
        return
    first, second = _last_event(was.folder, exchange), _last_event(now.folder, other)
    yield from values("body.last_event", first, second, aligned)


def _last_event(folder: Path, exchange: Exchange) -> Any:
    content = form.content_of(folder, exchange.answer.body).decode(errors="replace")
    events = [block for block in content.split("\n\n") if "event:" in block or "data:" in block]
    fields: dict[str, Any] = {}
    for line in events[-1].splitlines() if events else ():
        name, _, value = line.partition(":")
        if name in ("event", "data"):
            fields[name] = fields.get(name, "") + value.removeprefix(" ")
    try:
        return fields | {"data": json.loads(fields["data"])}
    except (ValueError, KeyError):
        return fields


# What was done


def _done(was: list[Span], now: list[Span], aligned: Aligned) -> Iterator[Difference]:
    for field, of in (("sql", _statements), ("tasks", _tasks), ("objects", _objects)):
        first, second = of(was, aligned), of(now, aligned)
        for function in sorted(first.keys() | second.keys()):
            one, two = first.get(function, Counter()), second.get(function, Counter())
            if one != two:
                name = f"{field} {function}" if function else field
                yield Difference(name, sorted((one - two).elements()), sorted((two - one).elements()))


def _statements(spans: list[Span], aligned: Aligned) -> dict[str, Counter[str]]:
    """Statements by the function that made them."""
    by_id = {span.id: span for span in spans}
    made = _grouped((_run_of(span, by_id), span.name) for span in spans if span.kind == "sql")
    made.pop("", None)
    return made


def _tasks(spans: list[Span], aligned: Aligned) -> dict[str, Counter[str]]:
    sent = [("", f"sent {span.name}") for span in spans if span.kind == "enqueue"]
    ran = [("", f"{span.name}: {_end(span)}") for span in spans if is_run(span) and span.kind != "server"]
    return _grouped([*sent, *ran])


def _end(span: Span) -> str:
    return str(span.attributes.get("error") or span.attributes.get("status") or "success")


def _objects(spans: list[Span], aligned: Aligned) -> dict[str, Counter[str]]:
    by_id = {span.id: span for span in spans}
    return _grouped((_run_of(span, by_id), aligned.masked(span.name)) for span in spans if span.kind == "s3")


def _run_of(span: Span, by_id: Mapping[str, Span]) -> str:
    """The function's run that a span is part of; empty where it is the runtime's own doing."""
    above = by_id.get(span.parent)
    while above is not None and not is_run(above):
        above = by_id.get(above.parent)
    return above.name if above is not None else ""


def _grouped(found: Iterable[tuple[str, str]]) -> dict[str, Counter[str]]:
    groups: dict[str, Counter[str]] = {}
    for name, what in found:
        groups.setdefault(name, Counter())[what] += 1
    return groups
