"""`make load`: the system on this machine under virtual users, as a table, a picture and build/load.json.

    python -m tests.load [--users 50,200,1000] [--minutes 1] [--gateway URL --state FOLDER]

A system of its own is started and removed, unless --state names one that runs. Each number of users takes its minutes, and
four more at the most until the last photo is done.
"""

import argparse
import asyncio
import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import psutil

from tests.emulator.conftest import ROOT, Emulator, make
from tests.load.report import Row, picture, row, table
from tests.load.users import crowd
from tests.support import Keys


@contextmanager
def probing(addresses: dict[str, str]) -> Iterator[dict[str, list[float]]]:
    """Look at each address twice a second meanwhile, in threads beside the users' loop; the seconds until each answer."""
    found: dict[str, list[float]] = {name: [] for name in addresses}
    over = threading.Event()

    def look(name: str) -> None:
        with httpx.Client(trust_env=False, timeout=60) as client:
            while not over.wait(0.5):
                begun = time.perf_counter()
                try:
                    answers = client.get(addresses[name]).is_success
                except httpx.HTTPError:
                    answers = False
                # A refusal is no answer: it counts as the longest.
                found[name].append(time.perf_counter() - begun if answers else 60.0)

    looking = [threading.Thread(target=look, args=(name,)) for name in addresses]
    for thread in looking:
        thread.start()
    try:
        yield found
    finally:
        over.set()
        for thread in looking:
            thread.join()


def processor(about: dict[str, Any]) -> dict[str, float]:
    """Seconds of processor by part so far, those of its children that have ended among them."""
    found = {}
    for part in about["parts"]:
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(part["pid"])
            own = process.cpu_times()
            children = (child.cpu_times() for child in process.children(recursive=True))
            found[part["name"]] = (
                own.user
                + own.system
                + own.children_user
                + own.children_system
                + sum(c.user + c.system for c in children)
            )
    return found


async def measure(about: dict[str, Any], keys: Keys, users: int, seconds: float) -> Row:
    """One number of users."""
    parts = {part["name"]: part["address"] for part in about["parts"]}
    gateway = str(about["gateway"])
    addresses = {
        "health": f"{parts['api-waste']}/readyz",
        "gateway": f"{gateway}/_gateway",
        "dashboard": f"{gateway}/_emulator/",
    }
    begun, before = time.monotonic(), processor(about)
    with probing(addresses) as probes:
        tries = await crowd(gateway, users, keys, seconds, lambda: time.monotonic() - begun)
    after = processor(about)
    used = {name: after[name] - before[name] for name in after if name in before}
    return row(users, tries, probes, used, os.getloadavg()[0])


@contextmanager
def running(state: Path | None) -> Iterator[Emulator]:
    """The system that runs in that folder, or one for the time of the block."""
    if state is not None:
        emulator = Emulator(state)
        yield emulator
        return
    emulator = make(ROOT / ".eco2" / "model")
    try:
        yield emulator.up()
    finally:
        emulator.destroy()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.load", description=__doc__.splitlines()[0])
    parser.add_argument("--users", default="50,200,1000", help="numbers of users, one after another")
    parser.add_argument("--minutes", type=float, default=1.0, help="how long the users of each number begin photos")
    parser.add_argument("--state", type=Path, help="the state folder of a system that runs already")
    args = parser.parse_args()
    rows: list[Row] = []
    build = ROOT / "build"
    build.mkdir(exist_ok=True)
    with running(args.state) as emulator:
        about = emulator.about
        folder = emulator.folder / "keys"
        keys = Keys(folder / "signing.json", folder / "jwks.json")
        for users in [int(number) for number in args.users.split(",")]:
            print(f"{users} users for {args.minutes:g} min ...", file=sys.stderr, flush=True)
            rows.append(asyncio.run(measure(about, keys, users, args.minutes * 60)))
            print(table(rows[-1:]), file=sys.stderr, flush=True)
    (build / "load.svg").write_text(picture(rows), encoding="utf-8")
    (build / "load.json").write_bytes(msgspec.json.format(msgspec.json.encode(rows), indent=2))
    sys.stdout.write(table(rows) + "picture: build/load.svg\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
