"""`make bench`: the budgets of ARCHITECTURE.md, each measured beside the raw thing in one run.

    python -m tests.bench [NAME ...] [--json FILE]

Each module of this folder with a `run()` gives rows: name, ours, raw, ratio, budget, unit and, where it helps, a note.
"""

import argparse
import importlib
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import psutil

FOLDER = Path(__file__).parent


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__.splitlines()[0])
    names = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "command" and path.stem[0] != "_")
    parser.add_argument("names", nargs="*", choices=[*names, []], help="only these")
    parser.add_argument("--json", type=Path, default=Path("build/bench.json"), help="where to save the rows")
    args = parser.parse_args(words)
    rows: list[dict[str, Any]] = []
    for name in args.names or names:
        module = importlib.import_module(f"tests.bench.{name}")
        if not hasattr(module, "run"):
            continue
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        rows += [{"bench": name} | dict(row) for row in module.run()]
    args.json.parent.mkdir(parents=True, exist_ok=True)
    report = {"at": datetime.now(UTC), "cpus": psutil.cpu_count(), "python": sys.version.split()[0], "rows": rows}
    args.json.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2))
    _print(rows)
    print(f"\nsaved in {args.json}")
    return 0


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
