"""A timeline for the terminal: a line a row, with a bar on the time of the whole, and what belongs to it below."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime

from emulator.timeline import WAITS, Row, Timeline

_BAR = 24
# Lines of one text (a stack, a body) that are shown.
_LINES = 40
_RED, _DIM, _YELLOW = 31, 2, 33
_LABELS = {
    "stack": "traceback",
    "source": "source",
    "request_body": "request",
    "answer_body": "answer",
    "statement": "statement",
}


def lines(timeline: Timeline, width: int, *, colour: bool = False) -> Iterator[str]:
    """The whole, each line at most `width` columns where it is one of ours; texts are as long as they are."""
    status = f" → {timeline.status}" if timeline.status else ""
    wrong = "  FAILED" if timeline.failed else ""
    head = f"{timeline.title}{status}  {duration(timeline.ms)}{wrong}"
    yield _paint(head, _RED if timeline.failed else 1, colour)
    began = datetime.fromtimestamp(timeline.began, UTC)
    yield f"began    {began:%Y-%m-%d %H:%M:%S}.{began.microsecond // 1000:03} UTC"
    yield f"trace    {timeline.trace}"
    for name, label in (("request_id", "request"), ("task", "task"), ("subject", "subject")):
        for id_ in timeline.ids.get(name, ()):
            yield f"{label:<8} {id_}"
    yield ""
    yield _scale(timeline.ms)
    for row in timeline.rows:
        yield from _row(row, timeline.ms, width, colour)


def _scale(whole: float) -> str:
    middle, end = duration(whole / 2), duration(whole)
    left = _BAR // 2
    return f"{'at':>9} {'took':>9}  0{middle:>{left}}{end:>{_BAR - left}}"


def _row(row: Row, whole: float, width: int, colour: bool) -> Iterator[str]:
    moment = row.ms == 0
    line = f"{duration(row.at):>9} {'' if moment else duration(row.ms):>9}  {_bar(row, whole)} "
    mark = {"failed": "✗ ", "again": "↻ "}.get(row.state, "")
    said = f"{'  ' * row.depth}{mark}{title(row)}"
    room = max(width - len(line), 20)
    said = said if len(said) <= room else said[: room - 1] + "…"
    code = {"failed": _RED, "again": _YELLOW}.get(row.state) or (_DIM if row.kind in ("gap", "log") else 0)
    yield _paint(line + said, code, colour)
    for name, text in row.texts.items():
        if name == "statement":
            continue
        for number, one in enumerate(_shortened(pretty(text).splitlines(), keep_end=name == "stack")):
            label = "" if number else _LABELS[name]
            yield f"{'':>21}{'  ' * row.depth}{label:<10}│ {one}"


def _shortened(text: list[str], *, keep_end: bool) -> list[str]:
    """The end of a stack says most; the beginning of anything else."""
    if len(text) <= _LINES:
        return text
    return ["…", *text[-_LINES:]] if keep_end else [*text[:_LINES], "…"]


def title(row: Row) -> str:
    """What a row is, in words."""
    note = f" · {row.note}" if row.note else ""
    if row.kind == "gap":
        holder = f" (trace {row.facts['holder'][:8]})" if row.facts.get("holder") else ""
        return f"┄ {WAITS.get(row.name, row.name)}{f' {row.note}' if row.note else ''}{holder}"
    if row.kind == "attempt":
        return f"attempt {row.name}{note}"
    if row.kind == "run":
        return f"{row.service} run {row.name}{note}"
    if row.kind == "log":
        return f"{row.service} {row.facts.get('level', '')}: {row.name}"
    if row.kind == "retry":
        return f"{row.service} {row.name} tried again (try {row.facts.get('attempt', '?')})"
    if row.kind == "task":
        return f"task {row.name}{note} · {row.facts.get('task', '')}"
    kind = "" if row.service == row.kind else f" {row.kind}"
    return f"{row.service}{kind} {row.name}{note}"


def _bar(row: Row, whole: float) -> str:
    whole = max(whole, 0.001)
    first = min(int(row.at / whole * _BAR), _BAR - 1)
    length = max(1, min(round(row.ms / whole * _BAR), _BAR - first))
    sign = "·" if row.ms == 0 else "░" if row.kind == "gap" else "█"
    return f"{' ' * first}{sign * length}".ljust(_BAR)


def duration(ms: float) -> str:
    """`3.2 ms`, `140 ms`, `2.35 s`, `4 min 10 s`."""
    if ms < 10:
        return f"{ms:.1f} ms"
    if ms < 1000:
        return f"{ms:.0f} ms"
    if ms < 120_000:
        return f"{ms / 1000:.2f} s"
    return f"{ms // 60_000:.0f} min {ms % 60_000 / 1000:.0f} s"


def pretty(text: str) -> str:
    """JSON over several lines; anything else as it is."""
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except ValueError:
        return text


def _paint(text: str, code: int, colour: bool) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if colour and code else text
