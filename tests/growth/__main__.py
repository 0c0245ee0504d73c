"""`make growth`: every statement's plan, time and pages, and every endpoint's p50, as the system grows.

    python -m tests.growth [--sizes 0.01,0.1,1]

1 is a million people with 400,000 photographs (20,000 of one person's), 400,000 messages and 800,000 tasks. Exits with 1 on a
sequential scan, a spill or a slope that known.toml does not name.
"""

import argparse
import asyncio
import sys
import time
from pathlib import Path

import msgspec
import psycopg

from shared import clock
from tests.bench._system import system
from tests.growth import measure
from tests.growth.data import bytes_of, fill

# Rows that stay of a photo (checked, then classified) and of a question.
PHOTO = {"waste.analyses": 1, "waste.images": 2, "tasks.task_results": 2, "tasks.task_history": 6}
QUESTION = {"chat_llm.messages": 2, "tasks.task_results": 1, "tasks.task_history": 3}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.growth", description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="0.01,0.1,1")
    sizes = [float(size) for size in parser.parse_args().sizes.split(",")]
    seen, asked, bytes_a_row = [], {}, {}
    with system() as (environment, postgres, keys):
        for size in sizes:
            begun, now = time.monotonic(), clock.now()
            with psycopg.connect(postgres.dsn("postgres"), autocommit=True) as conn:
                counts = fill(conn, size, now)
                bytes_a_row = bytes_of(conn, counts)
            print(f"size {size:g}: loaded in {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
            seen.append((size, asyncio.run(measure.statements(environment, now))))
            asked[size] = asyncio.run(measure.endpoints(environment, keys, now))
    _print(sizes, seen, asked, bytes_a_row)
    report = {"sizes": [[size, found] for size, found in seen], "endpoints": asked, "bytes": bytes_a_row}
    Path("build").mkdir(exist_ok=True)
    Path("build/growth.json").write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2))
    wrong, gone = measure.unnamed(measure.findings(seen))
    for line in wrong:
        print(f"NOT NAMED  {line}")
    for line in gone:
        print(f"named, but not found at these sizes  {line}")
    return 1 if wrong else 0


def _print(sizes, seen, asked, bytes_a_row) -> None:
    head = "".join(f"{f'{size:g}: ms':>10}{'pages':>8}" for size in sizes)
    print(f"{'statement':<48}{head}  shape at the largest")
    by = [{one.name: one for one in found} for _, found in seen]
    for name, last in by[-1].items():
        cells = "".join(
            f"{one.milliseconds:>10.2f}{one.buffers:>8}" if (one := found.get(name)) else f"{'–':>10}{'–':>8}"
            for found in by
        )
        print(f"{name:<48}{cells}  {last.shape[:150]}")
    print(f"\n{'endpoint, p50 in ms':<70}" + "".join(f"{size:>8g}" for size in sizes))
    for path in asked[sizes[-1]]:
        print(f"{path:<70}" + "".join(f"{asked[size][path]:>8.1f}" for size in sizes))
    print("\nbytes a row, with indexes")
    for name, size in bytes_a_row.items():
        print(f"  {name:<40}{size:>8.0f}")
    for what, rows in (("photo", PHOTO), ("question", QUESTION)):
        kept = {name: bytes_a_row[name] * count for name, count in rows.items()}
        tasks = sum(size for name, size in kept.items() if name.startswith("tasks."))
        print(f"a {what}: {sum(kept.values()):.0f} bytes, {tasks:.0f} of them in `tasks`")


if __name__ == "__main__":
    sys.exit(main())
