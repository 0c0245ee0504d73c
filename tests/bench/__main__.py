"""`make bench`: the budgets, each measured beside the raw thing in one run.

    python -m tests.bench [NAME ...] [--check] [--json FILE] [--history FILE]

Each module of this folder with a `run()` gives rows: name, ours, raw, ratio, budget, unit and, where it helps, a note. A run
is a line in the history file, says what moved since the runs before it, and which budgets it missed. Those that are known to be
missed lie in known.toml, with the reason and how far; they end no run with 1 unless they get worse than that.
"""

import argparse
import importlib
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import psutil

from tests.bench import history

FOLDER = Path(__file__).parent
KNOWN = FOLDER / "known.toml"


# Modules of this folder that measure nothing.
_NONE = {"command", "history"}


def parse(words: list[str] | None = None) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__.splitlines()[0])
    names = sorted(path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith(("_", "test_")))
    names = [name for name in names if name not in _NONE]
    parser.add_argument("names", nargs="*", choices=[*names, []], help="only these")
    parser.add_argument("--json", type=Path, default=Path("build/bench.json"), help="where to save the rows")
    parser.add_argument(
        "--history", type=Path, default=Path("build/bench-history.jsonl"), help="the runs so far, to compare with"
    )
    parser.add_argument(
        "--check", action="store_true", help="exit with 1 when a budget is missed that is not known to be (known.toml)"
    )
    args = parser.parse_args(words)
    args.names = args.names or names
    return args


def main(words: list[str] | None = None) -> int:
    args = parse(words)
    rows: list[dict[str, Any]] = []
    # All are imported before the first one measures: what can't be imported must not cost the rows of an hour.
    modules = {name: importlib.import_module(f"tests.bench.{name}") for name in args.names}
    for name, module in modules.items():
        if not hasattr(module, "run"):
            continue
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        rows += [{"bench": name} | dict(row) for row in module.run()]
    return report(rows, args)


def report(rows: list[dict[str, Any]], args: argparse.Namespace) -> int:
    """Save the rows, print them, what moved and what is out of budget; the exit code."""
    at, cpus, python = datetime.now(UTC), psutil.cpu_count() or 0, sys.version.split()[0]
    args.json.parent.mkdir(parents=True, exist_ok=True)
    saved = {"at": at, "cpus": cpus, "python": python, "rows": rows}
    args.json.write_bytes(msgspec.json.format(msgspec.json.encode(saved), indent=2))
    run = history.Run(at.isoformat(), cpus, python, history.values(rows))
    moved = history.moved(run, history.read(args.history))
    history.add(args.history, run)
    _print(rows)
    print(f"\nsaved in {args.json}, and a line in {args.history}")
    missed, known, mended = history.judged(rows, history.known(KNOWN))
    red, plain = ("\033[31m", "\033[0m") if sys.stdout.isatty() else ("", "")
    told = (
        ("moved by more than noise", moved, ""),
        ("out of budget, as is known", known, ""),
        ("in budget again: to be struck out of known.toml", mended, ""),
        ("out of budget", missed, red),
    )
    for title, sentences, colour in told:
        if sentences:
            print(f"\n{title}:")
        for sentence in sentences:
            print(f"  {colour}{sentence}{plain if colour else ''}")
    return 1 if missed and args.check else 0


def _print(rows: list[dict[str, Any]]) -> None:
    columns = ("name", "ours", "raw", "ratio", "budget", "unit")
    table = [[_cell(row.get(column)) for column in columns] for row in rows]
    widths = [max(len(column), *(len(line[i]) for line in table)) for i, column in enumerate(columns)] if table else []
    for line in [list(columns), *table]:
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip())
    for row in rows:
        if row.get("note"):
            print(f"  {row['name']}: {row['note']}")


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(main())
