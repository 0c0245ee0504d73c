"""What takes long and what goes wrong, over all spans since the dashboard's start: kept as counts, whatever their number."""

from bisect import bisect_left
from collections import OrderedDict
from typing import Any

from msgspec import Struct

# Milliseconds, each half as much again as the one before: what is said of a 95th percentile is within that.
EDGES = [0.05 * 1.5**n for n in range(40)]
# Different statements, functions and errors kept: the ones that came last.
STATEMENTS, FUNCTIONS, ERRORS = 500, 300, 200
_FUNCTIONS = {"server", "task", "result"}


class Cell(Struct):
    """How often, how long in all and at most (ms), and how many by the edges."""

    count: int = 0
    total: float = 0.0
    most: float = 0.0
    failures: int = 0
    buckets: dict[int, int] = {}
    trace: str = ""  # the slowest one's
    whole: str = ""  # the statement, where its name is not the whole of it

    def add(self, ms: float, failed: bool, trace: str) -> None:
        self.count += 1
        self.total += ms
        self.failures += failed
        if ms >= self.most:
            self.most, self.trace = ms, trace
        at = bisect_left(EDGES, ms)
        self.buckets[at] = self.buckets.get(at, 0) + 1

    def p95(self) -> float:
        left = self.count * 0.05
        for at in sorted(self.buckets, reverse=True):
            left -= self.buckets[at]
            if left < 0:
                return min(self.most, EDGES[min(at, len(EDGES) - 1)])
        return self.most


class Kind(Struct):
    """One kind of error of one function: how often, the last one's time, trace and words."""

    count: int = 0
    last: float = 0.0
    trace: str = ""
    said: str = ""


class Slow:
    """Adds spans up. `by` in its answers is what they are sorted by."""

    def __init__(self) -> None:
        self._statements: OrderedDict[tuple[str, str], Cell] = OrderedDict()
        self._functions: OrderedDict[tuple[str, str], Cell] = OrderedDict()
        self._errors: OrderedDict[tuple[str, str, str], Kind] = OrderedDict()

    def add(self, span: dict[str, Any]) -> None:
        kind, service, name, facts = str(span["kind"]), str(span["service"]), str(span["name"]), span["attributes"]
        status = facts.get("status")
        wrong = (isinstance(status, int) and status >= 500) or status == "failure"
        if kind == "sql":
            cell = _at(self._statements, (service, name), Cell, STATEMENTS)
            cell.add(span["ms"], "error" in facts, span["trace"])
            cell.whole = cell.whole or str(facts.get("statement") or "")
        elif kind in _FUNCTIONS and not name.endswith(("/openapi.json", " unmatched")):
            cell = _at(self._functions, (service, name), Cell, FUNCTIONS)
            cell.add(span["ms"], wrong or "error" in facts, span["trace"])
        error = facts.get("error") or (f"{status}" if wrong else "")
        if error and (kind in _FUNCTIONS or kind in ("log", "sql", "s3", "gateway")):
            what = name if kind in _FUNCTIONS or kind == "gateway" else kind
            one = _at(self._errors, (service, what, str(error)), Kind, ERRORS)
            one.count += 1
            one.last, one.trace, one.said = span["start"], span["trace"], str(facts.get("said") or "")[:300]

    def statement(self, service: str, name: str) -> str | None:
        """The whole text of a statement that a service has executed, by its name in `statements`; None where it has not."""
        cell = self._statements.get((service, name))
        return None if cell is None else cell.whole or name

    def statements(self, by: str, limit: int) -> list[dict[str, Any]]:
        """By `total` or `p95`: service, statement, count, total, mean, p95 and most in milliseconds, the slowest's trace."""
        return _sorted(self._statements, by, limit, "statement")

    def functions(self, by: str, limit: int) -> list[dict[str, Any]]:
        """The same of functions: HTTP by method and route, tasks and results by name."""
        return _sorted(self._functions, by, limit, "function")

    def errors(self, limit: int) -> list[dict[str, Any]]:
        """What went wrong, by how often."""
        shown: list[dict[str, Any]] = [
            {"service": service, "where": where, "error": error, "count": one.count, "last": one.last}
            | {"trace": one.trace, "said": one.said}
            for (service, where, error), one in self._errors.items()
        ]
        return sorted(shown, key=lambda one: (-one["count"], -one["last"]))[:limit]


def _at(cells: OrderedDict[Any, Any], key: Any, make: type, most: int) -> Any:
    found = cells.get(key)
    if found is None:
        found = cells[key] = make()
        if len(cells) > most:
            cells.popitem(last=False)
    cells.move_to_end(key)
    return found


def _sorted(cells: OrderedDict[tuple[str, str], Cell], by: str, limit: int, what: str) -> list[dict[str, Any]]:
    shown: list[dict[str, Any]] = [
        {"service": service, what: name, "count": cell.count, "failures": cell.failures, "total": round(cell.total, 1)}
        | {"mean": round(cell.total / cell.count, 2), "p95": round(cell.p95(), 2), "most": round(cell.most, 2)}
        | {"trace": cell.trace}
        for (service, name), cell in cells.items()
    ]
    return sorted(shown, key=lambda one: -float(one[by if by in ("p95", "count", "most") else "total"]))[:limit]
