"""A replay's outcome as a person reads it, and as a program does."""

import json
import statistics
from collections.abc import Iterable
from typing import Any

import msgspec

from emulator.recording.align import seconds
from emulator.recording.compare import Compared, Difference
from emulator.recording.replay import Replayed
from emulator.recording.shown import MASK, SECRET, masked

_WIDE = 100
_SHOWN = 20  # requests whose differences are printed; --json has all


def table(replayed: Replayed) -> list[str]:
    """Requests, differences and durations by function."""
    groups: dict[str, list[Compared]] = {}
    for one in replayed.compared:
        groups.setdefault(one.function, []).append(one)
    width = max(len("function"), *(len(name) for name in groups))
    lines = [f"{'function':<{width}}  requests  differ  recorded  replayed"]
    for name, ones in sorted(groups.items(), key=lambda item: (-_differ(item[1]), item[0])):
        was, now = (1000 * statistics.median(times) for times in ([o.was for o in ones], [o.now for o in ones]))
        lines.append(f"{name:<{width}}  {len(ones):>8}  {_differ(ones) or '–':>6}  {was:>5.0f} ms  {now:>5.0f} ms")
    return lines


def _differ(ones: list[Compared]) -> int:
    return sum(bool(one.differences) for one in ones)


def differences(replayed: Replayed) -> list[str]:
    """What differs, request by request."""
    lines = []
    for one in replayed.different[:_SHOWN]:
        lines += ["", f"{one.function}  {one.method} {one.path.partition('?')[0]}  (request {one.id})"]
        for difference in one.differences:
            lines += _lines(difference)
    if len(replayed.different) > _SHOWN:
        lines += ["", f"and {len(replayed.different) - _SHOWN} more requests; --json has all"]
    return lines


def _lines(difference: Difference) -> Iterable[str]:
    if difference.field.startswith(("sql", "tasks", "objects")):
        yield f"  {difference.field}"
        yield from (f"    - {_short(item)}" for item in difference.was)
        yield from (f"    + {_short(item)}" for item in difference.now)
    else:
        was, now = (_masked(difference.field, value) for value in (difference.was, difference.now))
        yield f"  {difference.field:<24} {_short(was)} → {_short(now)}"


def _masked(field: str, value: Any) -> Any:
    name = field.rpartition(".")[2]
    if isinstance(value, dict | list):
        return masked(value, name)
    # What can't be guessed by seeing it may be seen: a code of ours, a time.
    return (
        MASK
        if isinstance(value, str) and SECRET.search(name) and not name.endswith("_code") and not seconds(value)
        else value
    )


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _WIDE else text[: _WIDE - 1] + "…"


def summary(replayed: Replayed) -> str:
    total, different = len(replayed.compared), len(replayed.different)
    said = f"{different} of {total} requests differ" if different else f"no difference in {total} requests"
    raced = sum(one.raced for one in replayed.compared)
    notes = [f"{raced} read while work was under way: their status alone was compared"] if raced else []
    notes += ["spans were lost: no statements were compared"] if replayed.incomplete else []
    return "; ".join([said, *notes])


def as_json(replayed: Replayed) -> str:
    found = {
        "recording": replayed.recording,
        "requests": len(replayed.compared),
        "different": len(replayed.different),
        "statements_compared": not replayed.incomplete,
        "results": [
            msgspec.to_builtins(one)
            | {
                "differences": [_as_builtins(difference) for difference in one.differences],
                "path": one.path.partition("?")[0],
            }
            for one in replayed.compared
        ],
    }
    return json.dumps(found, indent=2, ensure_ascii=False)


def _as_builtins(difference: Difference) -> dict[str, Any]:
    was, now = (_masked(difference.field, value) for value in (difference.was, difference.now))
    return {"field": difference.field, "was": was, "now": now}
