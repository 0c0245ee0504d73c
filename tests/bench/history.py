"""Which budgets a run missed, and what moved since the runs before it by more than their noise."""

import re
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

# A value has moved when it lies further from the median than so many of the usual distances from it, and than a tenth of it.
NOISE, SHARE = 4.0, 0.1
# Fewer runs before it say nothing; those longer ago than these are of another program.
LEAST, RECENT = 3, 12

_BUDGET = re.compile(r"(≤|>=|<=|≥)\s*([0-9.]+)\s*(\S*)")


class Run(Struct):
    """A line of the history: what one run measured, on which machine."""

    at: str
    cpus: int
    python: str
    values: dict[str, float]


class Known(Struct, forbid_unknown_fields=True):
    """A budget that is known to be missed: why, and a budget of its own, which what is known stays within."""

    why: str
    within: str


def known(path: Path) -> dict[str, Known]:
    """The known misses by "BENCH: ROW"."""
    return msgspec.toml.decode(path.read_bytes(), type=dict[str, Known])


def judged(rows: Iterable[dict[str, Any]], misses: dict[str, Known]) -> tuple[list[str], list[str], list[str]]:
    """What is out of budget; what is, and is known to be; and what is known to be and is not any more. One sentence each."""
    red, expected, mended = [], [], []
    for row in rows:
        name = f"{row['bench']}: {row['name']}"
        said, miss = missed(row), misses.get(name)
        if said and miss is not None and not missed(row | {"budget": miss.within}):
            expected.append(f"{said} ({miss.why})")
        elif said:
            red.append(said + (f"; it is known to be missed, but {miss.within}" if miss else ""))
        elif miss is not None:
            mended.append(name)
    return red, expected, mended


def missed(row: dict[str, Any]) -> str:
    """Why a row is out of its budget, one sentence; empty where it is in it or has none.

    A budget is a number, which `ours` may not exceed, or a text: "≤ 1.10 ×" and, beside a ratio, "≥ 0.9" are of the ratio,
    others ("≤ 55 MiB") of `ours`.

    Raises:
        ValueError: the budget can't be read.
    """
    budget = row.get("budget")
    if budget is None or budget in ("", "–"):
        return ""
    if isinstance(budget, int | float):
        sign, limit, unit = "≤", float(budget), str(row.get("unit", ""))
    else:
        if (found := _BUDGET.match(budget)) is None:
            raise ValueError(f"{row['name']}: no budget: {budget}")
        sign, limit, unit = found[1], float(found[2]), found[3]
    of_ratio = unit == "×" or (not unit and row.get("ratio") is not None)
    value = row["ratio"] if of_ratio else row["ours"]
    if value <= limit if sign in ("≤", "<=") else value >= limit:
        return ""
    return f"{row['name']}: {value:.3g}, and the budget is {budget}"


def values(rows: Iterable[dict[str, Any]]) -> dict[str, float]:
    """What is compared from run to run: the ratio of a row, which a loaded machine moves least, or else its value."""
    found = {}
    for row in rows:
        value = row.get("ratio") if row.get("ratio") is not None else row.get("ours")
        if isinstance(value, int | float):
            found[f"{row['bench']}: {row['name']}"] = float(value)
    return found


def read(path: Path) -> list[Run]:
    """The runs in a history file, oldest first; lines that are none are left out."""
    runs = []
    for line in path.read_bytes().splitlines() if path.exists() else ():
        try:
            runs.append(msgspec.json.decode(line, type=Run))
        except msgspec.DecodeError:
            continue
    return runs


def add(path: Path, run: Run) -> None:
    """Put a run at the end of the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.write(msgspec.json.encode(run) + b"\n")


def moved(run: Run, before: Iterable[Run]) -> list[str]:
    """What moved by more than noise since the last runs on such a machine, one sentence each."""
    like = [other for other in before if (other.cpus, other.python) == (run.cpus, run.python)][-RECENT:]
    said = []
    for name, value in run.values.items():
        known = [other.values[name] for other in like if name in other.values]
        if len(known) < LEAST:
            continue
        middle = statistics.median(known)
        usual = statistics.median(abs(one - middle) for one in known)
        if abs(value - middle) > max(NOISE * usual, SHARE * abs(middle)):
            said.append(f"{name}: {value:.3g}, and {middle:.3g} ± {usual:.2g} in the {len(known)} runs before")
    return said
