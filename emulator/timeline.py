"""A trace as a timeline: the one piece of code that puts spans into rows, for `eco2 trace` and the dashboard alike.

A task gets a row of its own, with its attempts and runs below; waiting becomes rows with a name; log lines are at their place.
"""

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct, structs

from emulator.dashboard.spans import NAMED, Span, failed

State = Literal["", "failed", "refused", "again"]
# What nothing is known of is a row from so many milliseconds on, and from this part of what it is in.
_SEEN, _PART = 1.0, 0.2
# Kinds of spans that tell of one stage of a task.
_STAGES = ("enqueue", "publish", "journal", "task", "result")
# Kinds whose time is not that of work: what happens meanwhile is not inside of them.
_MOMENTS = ("enqueue", "publish", "journal", "log", "retry")
# What is waited for, in words; the dashboard has the Korean ones by the same names.
WAITS = {
    "database": "waiting for a database connection",
    "lock": "waiting for a lock held by",
    "lease": "waiting for the relay's lease",
    "queue": "waiting in the queue",
    "thread": "waiting for a free thread",
    "try": "waiting before the next try",
    "attempt": "waiting before the next attempt",
    "answer": "waiting for the owner to take the result",
    "service": "on the way to the service",
    "events": "an open event stream: waiting for the next event",
    "work": "nothing recorded here: the function's own work",
}


class Row(Struct):
    """One line. `at` is milliseconds after the trace's begin. `name` of a gap is a key of WAITS."""

    kind: str
    name: str
    depth: int = 0
    service: str = ""
    at: float = 0.0
    ms: float = 0.0
    state: State = ""
    note: str = ""
    facts: dict[str, str] = {}  # ids and numbers
    texts: dict[str, str] = {}  # stack, source, bodies, statement: of several lines


class Timeline(Struct):
    """A whole trace. `began` is seconds since the epoch, by the system's clock."""

    trace: str = ""
    title: str = ""
    status: int | None = None
    failed: bool = False
    began: float = 0.0
    ms: float = 0.0
    ids: dict[str, list[str]] = {}
    rows: list[Row] = []


class _Node(Struct):
    row: Row
    below: list["_Node"] = []

    @property
    def end(self) -> float:
        """When the last of it ended."""
        return max([self.row.at + self.row.ms, *(node.end for node in self.below)])


def build(spans: list[Span]) -> Timeline:
    """The timeline of one trace's spans; without spans, an empty one."""
    if not spans:
        return Timeline()
    began = min(float(span["start"]) for span in spans)
    roots = _tree(sorted(spans, key=lambda span: (span["start"], -span["ms"])), began)
    rows: list[Row] = []
    for node in roots:
        _add(node, 0, False, rows)
    end = max(node.end for node in roots)
    found = Timeline(str(spans[0]["trace"]), began=began, ms=round(end, 3), rows=rows)
    found.failed = any(row.state == "failed" for row in rows)
    found.ids = {name: _ids(spans, name) for name in NAMED}
    server = next((span for span in spans if span["kind"] == "server"), None)
    first = server or next((span for span in spans if span["kind"] == "gateway"), spans[0])
    facts = first["attributes"]
    method = str(first["name"]).split(" ")[0]
    query = f"?{facts['query']}" if facts.get("query") else ""
    found.title = f"{method} {facts['path']}{query}" if "path" in facts else str(first["name"])
    found.status = facts.get("status") if isinstance(facts.get("status"), int) else None
    return found


def of_task(timeline: Timeline, task: str) -> Timeline:
    """The rows of one task alone, on a scale of its own; empty where the trace has none."""
    rows = timeline.rows
    first = next((n for n, row in enumerate(rows) if row.kind == "task" and row.facts.get("task") == task), None)
    if first is None:
        return Timeline(timeline.trace)
    above = rows[first]
    own, end, skipped = [structs.replace(above, depth=0, at=0.0)], 0.0, 0
    for row in rows[first + 1 :]:
        if row.depth <= above.depth:
            break
        if skipped and row.depth > skipped:
            continue
        skipped = row.depth if row.kind == "task" else 0  # what its result has set going has a page of its own
        if not skipped:
            own.append(structs.replace(row, depth=row.depth - above.depth, at=round(row.at - above.at, 3)))
            end = max(end, own[-1].at + row.ms)
    own[0].ms = round(end, 3)
    return Timeline(timeline.trace, above.name, began=timeline.began + above.at / 1000, ms=own[0].ms, rows=own)


def _ids(spans: Iterable[Span], name: str) -> list[str]:
    return list(dict.fromkeys(str(span["attributes"][name]) for span in spans if span["attributes"].get(name)))


def _tree(spans: list[Span], began: float) -> list[_Node]:
    nodes = {str(span["id"]): _Node(_row(span, began)) for span in spans}
    tasks: dict[str, _Node] = {}
    roots: list[_Node] = []
    for span in spans:
        node, parent = nodes[str(span["id"])], nodes.get(str(span["parent"]))
        task = str(span["attributes"].get("task", ""))
        if task and span["kind"] in _STAGES:
            if task not in tasks:
                tasks[task] = _Node(Row("task", _actor(span), service="", at=node.row.at, facts={"task": task}))
                (parent.below if parent else roots).append(tasks[task])
            _stage(tasks[task], node)
            continue
        (parent.below if parent else roots).append(node)
    # What came without its parent (a span is told at its end, and some are lost) is below what the trace began with.
    first = min(roots, key=lambda node: node.row.at)
    lost = [node for node in roots if node is not first]
    if first.row.kind in ("gateway", "server"):
        first.below += lost
        roots = [first]
    for one in tasks.values():
        _finish_task(one)
    for node in [*nodes.values(), *tasks.values()]:
        node.below.sort(key=lambda below: below.row.at)
    for node in list(nodes.values()):
        if node.row.kind in ("gateway", "server", "run", "result"):
            _name_gaps(node)
    return sorted(roots, key=lambda node: node.row.at)


def _actor(span: Span) -> str:
    """The function that a task is for. The row of the task is named by its first span, whose name is the actor's."""
    name = str(span["name"])
    return name if "/" in name else f"{span['service']}/{name}"


def _stage(task: _Node, node: _Node) -> None:
    """Put one stage of a task below it: what follows a publishing is part of that attempt."""
    attempt = next((one for one in reversed(task.below) if one.row.kind == "attempt"), None)
    if node.row.kind in ("run", "journal") and attempt is not None:
        attempt.below.append(node)
    else:
        task.below.append(node)


def _finish_task(task: _Node) -> None:
    """Name what a task waited for, say how it ended, and make each attempt and the task as long as what is in them."""
    for node in task.below:
        if node.row.kind == "attempt":
            node.below = _with_waits(node, node.below)
            node.row.ms = node.end - node.row.at
    runs = [one for node in task.below for one in [node, *node.below] if one.row.kind == "run"]
    ended = [run for run in runs if run.row.state != "again"]
    if ended:
        task.row.state, task.row.note = ended[-1].row.state, ended[-1].row.note
    task.below = _with_waits(task, task.below)
    task.row.ms = task.end - task.row.at


def _with_waits(above: _Node, stages: list[_Node]) -> list[_Node]:
    found: list[_Node] = []
    before = above if above.row.kind == "attempt" else None
    until = above.row.at
    for node in stages:
        wait = _wait(before.row.kind, node.row.kind) if before else ""
        if wait and node.row.at - until >= _SEEN:
            found.append(_gap(wait, until, node.row.at))
        found.append(node)
        before, until = node, max(until, node.end)
    return found


def _wait(before: str, now: str) -> str:
    """What a task waits for between two of its stages; a name of WAITS, or nothing."""
    return {
        ("enqueue", "attempt"): "lease",
        ("attempt", "journal"): "queue",
        ("attempt", "run"): "queue",
        ("attempt", "attempt"): "attempt",
        ("result", "attempt"): "attempt",
        ("journal", "run"): "thread",
        ("run", "run"): "try",
        ("attempt", "result"): "answer",
        ("journal", "result"): "answer",
    }.get((before, now), "")


def _name_gaps(node: _Node) -> None:
    """Where nothing is known of a large part of a span, say so."""
    if not node.below:
        return
    found: list[_Node] = []
    at, end = node.row.at, node.row.at + node.row.ms
    least = max(_SEEN, node.row.ms * _PART)
    name = "service" if node.row.kind == "gateway" else "events" if _is_stream(node.row) else "work"
    for one in node.below:
        if one.row.at < end and one.row.at - at >= least:
            found.append(_gap(name, at, one.row.at))
            at = one.row.at
        found.append(one)
        if one.row.kind not in _MOMENTS and one.row.kind != "task":
            at = max(at, one.row.at + one.row.ms)
    if node.row.kind != "gateway" and end - at >= least:
        found.append(_gap(name, at, end))
    node.below = sorted(found, key=lambda one: one.row.at)


def _is_stream(row: Row) -> bool:
    return row.kind == "server" and row.name.endswith("/events") and row.facts.get("status") == "200"


def _gap(name: str, start: float, end: float) -> _Node:
    return _Node(Row("gap", name, at=round(start, 3), ms=round(end - start, 3)))


# One span as one row

_TEXTS = ("stack", "source", "statement", "request_body", "answer_body")


def _row(span: Span, began: float) -> Row:
    facts, kind = span["attributes"], str(span["kind"])
    row = Row(kind, str(span["name"]), service=str(span["service"]), ms=float(span["ms"]))
    row.at = round((float(span["start"]) - began) * 1000, 3)
    row.facts = {name: str(value) for name, value in facts.items() if name not in _TEXTS and value != ""}
    row.texts = {name: str(facts[name]) for name in _TEXTS if facts.get(name)}
    row.state = _state(span)
    if kind == "wait":
        row.kind = "gap"
    elif kind == "publish":
        row.kind, row.name = "attempt", str(facts.get("attempt", "?"))
    elif kind == "task":
        row.kind, row.name = "run", str(facts.get("run", 1))
    elif kind == "sql" and len(row.name) > 80:
        row.texts.setdefault("statement", row.name)
    row.note = _note(row)
    return row


def _state(span: Span) -> State:
    facts = span["attributes"]
    status = facts.get("status")
    if failed(span):
        return "failed"
    if span["kind"] == "retry" or status == "put off":
        return "again"
    return "refused" if isinstance(status, int) and status >= 400 else ""


def _note(row: Row) -> str:
    """What is worth saying behind the name: how it ended, and with what words."""
    facts = row.facts
    parts = [facts.get("status") or facts.get("level", "")] if row.kind != "log" else [facts.get("level", "")]
    parts += [facts.get("error", ""), facts.get("said", "")]
    return ": ".join(part for part in parts if part)


def _add(node: _Node, depth: int, within: bool, rows: list[Row]) -> None:
    """`within` says whether what the node is in went wrong: else a statement's error was foreseen, as a name that is taken."""
    row = node.row
    row.depth = depth
    if row.state == "failed" and row.kind in ("sql", "s3") and not within:
        row.state = "refused"
    rows.append(row)
    for one in node.below:
        _add(one, depth + 1, within or row.state == "failed", rows)
