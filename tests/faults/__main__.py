"""`python -m tests.faults [--full] [--seed N] [--json PATH] [ROW ...]`: make the faults, print the table."""

import argparse
import json
import logging
import os
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

from tests.faults import rows_emulator, rows_frozen, rows_owner, rows_replicas, rows_rolling, rows_syncer, rows_worker
from tests.faults.system import Bench, bench
from tests.faults.table import ROWS, Row

assert rows_emulator
assert rows_replicas
assert rows_frozen
assert rows_rolling
assert rows_owner
assert rows_syncer
assert rows_worker
# In the full form rows of chance take so many seeds, one after another.
SEEDS = {22: 20, rows_emulator.SERIES: 10}


def run_row(shared: Bench, row: Row, seed: int, *, full: bool) -> dict[str, Any]:
    """Run one row and say how it went."""
    # What the parts log about their bad day is theirs to log; the table says whether they came through.
    logging.disable(logging.CRITICAL)
    begin = time.monotonic()
    result: dict[str, Any] = {"row": row.number, "fault": row.fault, "passes": row.passes, "seed": seed}
    try:
        with shared.system(seed, full=full) as system:
            found = row.run(system) or {}
        result |= {"passed": True, "found": found}
    except Exception as error:  # noqa: BLE001 - the table goes on with the next row
        result |= {"passed": False, "found": {"error": f"{type(error).__name__}: {error}"}}
        traceback.print_exc()
    finally:
        logging.disable(logging.NOTSET)
    result["seconds"] = round(time.monotonic() - begin, 1)
    return result


def run_rows(numbers: list[int], seed: int, *, full: bool) -> list[dict[str, Any]]:
    """Run rows in a folder that is thrown away."""
    # Not below a folder that only root may enter: PostgreSQL runs as somebody else.
    folder = Path(tempfile.mkdtemp(prefix="eco2-faults-"))
    folder.chmod(0o755)
    results = []
    try:
        with bench(folder) as shared:
            for number in numbers:
                seeds = range(seed, seed + SEEDS.get(number, 1)) if full else [seed]
                for one in seeds:
                    results.append(run_row(shared, ROWS[number], one, full=full))
                    _print(results[-1])
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return results


def _print(result: dict[str, Any]) -> None:
    said = ", ".join(f"{key} {value}" for key, value in result["found"].items())
    mark = "pass" if result["passed"] else "FAIL"
    sys.stdout.write(f"{result['row']:>3}  {mark}  {result['seconds']:>6.1f} s  {result['fault']}: {said}\n")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("rows", nargs="*", type=int, metavar="ROW", help="rows of the table; all without")
    parser.add_argument("--full", action="store_true", help="as often as the table says; otherwise a quick form")
    parser.add_argument("--seed", type=int, default=None, help="replay a run")
    parser.add_argument("--json", type=Path, default=Path("build/faults.json"), help="where the results are kept")
    args = parser.parse_args()
    unknown = [number for number in args.rows if number not in ROWS]
    if unknown:
        parser.error(f"there is no row {unknown[0]}; there are 1 to {max(ROWS)}")
    seed = args.seed if args.seed is not None else int.from_bytes(os.urandom(2), "big")
    results = run_rows(args.rows or sorted(ROWS), seed, full=args.full)
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_text(json.dumps(results, indent=1))
    failed = sorted({result["row"] for result in results if not result["passed"]})
    sys.stdout.write(f"\n{len(results) - len(failed)} of {len(results)} passed; seed {seed}; kept in {args.json}\n")
    for number in failed:
        again = "--full " if args.full else ""
        sys.stdout.write(f"again: python -m tests.faults {again}--seed {seed} {number}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
